"""Which version of the SDK it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires, version
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path


def test_the_sdk_that_is_tried_is_one_of_those_that_the_extra_names() -> None:
    named = [Requirement(each) for each in requires("pytest-fargate-sandbox") or []]
    [agents] = [each for each in named if each.name == "openai-agents"]
    assert agents.specifier.contains(version("openai-agents"))


def test_another_version_is_refused_with_a_word(tmp_path: Path) -> None:
    """Its metadata come first on the path, as those of an installation of one's own would."""
    told = tmp_path / "openai_agents-0.99.0.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: openai-agents\nVersion: 0.99.0\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pytest_fargate_sandbox.adapters.openai_agents"
    done = subprocess.run([sys.executable, "-c", program], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "openai-agents 0.99.0 is installed, and this version of pytest-fargate-sandbox is for" in done.stderr
