"""What podman reads elsewhere, from the environment of whoever starts the engine, takes nothing of a sandbox away."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.local.engine_process import EngineProcess
from tests.local.test_codebuild import _log, finished, set_up, start, unmade
from tests.local.test_podman_runner import output_of

if TYPE_CHECKING:
    from collections.abc import Iterator

HOSTS = """[containers]
pidns = "host"
ipcns = "host"
utsns = "host"
seccomp_profile = "unconfined"
"""
SEEN = "for each in pid ipc uts; do readlink /proc/self/ns/$each; done; grep Seccomp: /proc/self/status"


@pytest.fixture
def engine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[EngineProcess]:
    (tmp_path / "containers.conf").write_text(HOSTS)
    monkeypatch.setenv("CONTAINERS_CONF", str(tmp_path / "containers.conf"))
    monkeypatch.setenv("BUILDAH_ISOLATION", "chroot")  # in podman's own images; which is nearly none
    engine = EngineProcess("--runner", "podman")
    yield engine
    assert engine.close() == 0


@pytest.mark.needs("build steps")
def test_a_step_is_isolated_whatever_builders_are_told_elsewhere(engine: EngineProcess) -> None:
    set_up(engine)
    build = finished(engine, start(engine, unmade(), f"RUN echo {uuid.uuid4()}; {SEEN}; exit 3"))
    _assert_own(_log(engine, build))


def test_a_task_is_as_well(engine: EngineProcess) -> None:
    _assert_own("\n".join(output_of(engine, script=SEEN)))


def _assert_own(said: str) -> None:
    assert "Seccomp:\t2" in said
    for each in ("pid", "ipc", "uts"):
        assert f"{each}:[" in said
        assert str(Path(f"/proc/self/ns/{each}").readlink()) not in said
