"""Where a harness is not installed, its adapter says what brings it."""

from __future__ import annotations

import importlib
import sys

import pytest


@pytest.mark.parametrize(("adapter", "package", "extra"), [("openai_agents", "agents", "openai-agents")])
def test_an_adapter_without_its_harness_names_the_extra(
    monkeypatch: pytest.MonkeyPatch, adapter: str, package: str, extra: str
) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(ModuleNotFoundError, match=rf"pip install 'pytest-fargate-sandbox\[{extra}\]'"):
        importlib.import_module(f"pytest_fargate_sandbox.adapters.{adapter}")
