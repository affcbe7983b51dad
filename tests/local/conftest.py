"""One engine for all tests of a worker that do not need one with options of its own."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.local.engine_process import EngineProcess

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="session")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    process = EngineProcess(log=tmp_path_factory.mktemp("engine") / "log.jsonl")
    yield process
    assert process.close() == 0
