"""Whose doing it was that a sandbox could not be reached."""

from __future__ import annotations

import errno
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import RemoteFileError, SandboxBroken, SandboxError, TaskFolderError, TransportError
from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS, WorkBounds
from pytest_fargate_sandbox.tasks import whose_fault
from pytest_fargate_sandbox.tasks.crossing import Crossing
from pytest_fargate_sandbox.tasks.task_reading import read_task
from tests.task_folders import TOML, make_task
from tests.tasks.said_by_agents import Says

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.task_trial import Trial


class CutOff:
    """What is asked of a sandbox there, where nothing answers until the way to it is made anew, or not even then."""

    def __init__(self, *, comes_back: bool, new_way: bool, old_way: bool) -> None:
        self._comes_back = comes_back
        self._can_be_made = new_way
        self._has_new_way = False
        self.ssh_tunnel = SimpleNamespace(check_health=lambda: old_way)

    def reconnect_tunnel(self) -> None:
        if not self._can_be_made:
            raise TransportError("nobody let us in")
        self._has_new_way = True

    def exec(self, command: Sequence[str], **_: Any) -> None:
        if not (self._has_new_way and self._comes_back):
            raise TransportError(f"{command} was not heard")


@pytest.mark.parametrize(
    ("comes_back", "new_way", "old_way", "is_his"),
    [
        (True, True, False, False),
        (False, True, False, True),
        (False, False, True, True),  # no process is left in the task, not even for another way in
        (False, False, False, False),
    ],
)
def test_a_network_that_was_away_for_long_is_not_the_agents_doing(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool, new_way: bool, old_way: bool, is_his: bool
) -> None:
    monkeypatch.setattr(whose_fault, "_LOOK_SEC", 0.1)
    there = CutOff(comes_back=comes_back, new_way=new_way, old_way=old_way)
    why = whose_fault.why_from_inside(there, TransportError("it broke"))
    assert why == ("the server in it does not answer, and its sidecar does" if is_his else None)


def _separate(artifact: str) -> str:
    return f'artifacts = ["{artifact}"]\n{TOML}[verifier]\nenvironment_mode = "separate"\n'


HOOK = TOML + '[[verifier.collect]]\ncommand = "true"\nuser = "games"\n'
STEPS = TOML + "".join(f'[[steps]]\nname = "{name}"\n' for name in ("one", "two"))
EXACT = WorkBounds(files=2)
"""The workspace and what is in it; where others have theirs there is nothing more."""

DOINGS = {
    "a file in the place of a directory": (_separate("/var/spool"), "rm -r /var/spool; echo 1 > /var/spool", "put"),
    "a directory in the place of a file": (_separate("/etc/issue"), "rm /etc/issue; mkdir /etc/issue", "put"),
    "all that may cross, and more": (TOML, "touch hello.txt", "more than crosses over to a verifier: with /logs/art"),
    "nobody where somebody was": (HOOK, "rm /etc/passwd", "somebody is no more among its users"),
    "no way to go on": (STEPS, "rm /usr/bin/[e-g]*", "step 'two' does not come up in what the agent has made of"),
}


OF_ROOT = {"nobody where somebody was", "no way to go on"}
"""As whoever is not root, an agent is nobody else, and takes nothing away from ``/usr``."""


@pytest.mark.parametrize(
    "name", [pytest.param(each, marks=pytest.mark.root if each in OF_ROOT else ()) for each in DOINGS]
)
def test_what_an_agent_leaves_in_the_way_is_his_failure(tmp_path: Path, trial: Callable[..., Trial], name: str) -> None:
    toml, script, told = DOINGS[name]
    files = {
        f"steps/{step}/tests/test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n" for step in ("one", "two")
    }
    files["steps/two/workdir/setup.sh"] = "env true\n"
    bounds = EXACT if "more" in name else WORK_BOUNDS
    with pytest.raises(SandboxBroken, match=told):
        trial(make_task(tmp_path / "t", toml=toml, files=files), Says(script), bounds).run()


class Flips:
    """A sandbox in which a file is a directory when it is looked at again."""

    def save(self, path: str, **_: Any) -> None:
        raise RemoteFileError("Not a directory", path=path, errno=errno.ENOTDIR)

    def stat(self, _path: str, **_: Any) -> SimpleNamespace:
        return SimpleNamespace(size=0)

    def download(self, _remote: str, local: Path, **_: Any) -> None:
        local.mkdir()


def test_what_is_now_a_file_and_then_a_directory_is_no_trouble_of_this_side(tmp_path: Path) -> None:
    folder = read_task(make_task(tmp_path / "t", toml=_separate("hello.txt")) / "task.toml")
    crossing = Crossing()
    try:
        with pytest.raises(RemoteFileError, match="/logs/artifacts is now a file and then a directory"):
            crossing.take(Flips(), folder, None, "/app")
    finally:
        crossing.forget()


def test_who_was_never_there_was_not_taken_away(tmp_path: Path, trial: Callable[..., Trial]) -> None:
    with pytest.raises(TaskFolderError, match="its environment does not come up: there is no user 'nemo'"):
        trial(make_task(tmp_path / "t", toml=HOOK.replace("games", "nemo")), Says("true")).run()


def test_what_a_server_says_it_cannot_do_is_of_who_took_its_place() -> None:
    somewhere: Any = None
    said = SandboxError("the exec server says internal: what?", kind="internal")
    assert whose_fault.why_from_inside(somewhere, said) == "its server does not do what it is there for"
    assert whose_fault.why_from_inside(somewhere, SandboxError("no bucket")) is None
