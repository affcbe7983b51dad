"""The cluster ``local``: one engine for all who ask, gone with the last of them, however they end."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import StartError
from pytest_fargate_sandbox.leaves.process_identity import is_stopped
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place import engine_start
from pytest_fargate_sandbox.place.engine_users import engine_directory
from pytest_fargate_sandbox.place.local_cluster import local_engine
from tests.place.own_engine import end_engine_in
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Iterator

USER = """
import sys
from pytest_fargate_sandbox.place.local_cluster import local_engine
print(local_engine().pid, flush=True)
sys.stdin.readline()
"""


@pytest.fixture
def directory(warm_engines: None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Path]:  # noqa: ARG001
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(tmp_path / "engine"))
    monkeypatch.delenv("FARGATE_ENGINE_OPTIONS", raising=False)
    yield tmp_path / "engine"
    end_engine_in(tmp_path / "engine")


class User:
    def __init__(self) -> None:
        self.process = Popen[str](["-c", USER], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)

    @property
    def engine_pid(self) -> int:
        assert self.process.stdout is not None
        return int(self.process.stdout.readline())

    def end(self, number: int | None = None) -> None:
        if number:
            self.process.send_signal(number)
        self.process.communicate("\n" if number is None else None, timeout=20)


def _wait_for_end(pid: int) -> None:
    wait_until(lambda: not _runs(pid) or None, deadline=10, what=f"the end of engine {pid}")


def _runs(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


@pytest.mark.usefixtures("directory")
def test_all_who_ask_at_once_get_the_same_engine_and_the_last_one_ends_it() -> None:
    users = [User() for _ in range(4)]
    pids = {user.engine_pid for user in users}
    assert len(pids) == 1
    for user, how in zip(users[1:], (None, signal.SIGKILL, signal.SIGTERM), strict=True):
        user.end(how)
    (pid,) = pids
    time.sleep(0.2)  # it would be gone by now
    assert _runs(pid)
    users[0].end(signal.SIGKILL)
    _wait_for_end(pid)


@pytest.mark.usefixtures("directory")
@pytest.mark.parametrize("how", [None, signal.SIGKILL], ids=["leaves", "is killed"])
def test_one_that_is_stopped_ends_with_its_last_user_or_as_soon_as_it_goes_on(how: int | None) -> None:
    """Nothing is asked of it any more, so no call tells that it hangs."""
    user = User()
    engine = user.engine_pid
    os.kill(engine, signal.SIGSTOP)
    wait_until(lambda: is_stopped(engine) or None, deadline=10, what="its threads to have stopped")
    user.end(how)
    if how is not None:
        os.kill(engine, signal.SIGCONT)
    _wait_for_end(engine)


def test_the_engines_address_is_for_this_user_alone(
    directory: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pytest_fargate_sandbox.engine")
    monkeypatch.setattr(engine_start, "subprocess", subprocess)  # as for everybody else: no warm one
    engine = local_engine()
    assert (directory / "engine.json").stat().st_mode & 0o777 == 0o600
    assert directory.stat().st_mode & 0o777 == 0o700
    assert json.loads((directory / "engine.json").read_text())["secret_access_key"] not in repr(engine)
    assert caplog.text.count(f"the local engine of {directory} serves after ") == 1
    os.kill(engine.pid, signal.SIGTERM)


@pytest.mark.root
def test_a_directory_that_somebody_else_has_made_leads_to_no_engine(directory: Path) -> None:
    """Whose it would be, with all secrets of our tasks."""
    directory.parent.chmod(0o1777)
    directory.mkdir()
    os.chown(directory, 65534, 65534)
    with pytest.raises(StartError, match=r"FARGATE_ENGINE_DIR=\S+ was made by another user"):
        local_engine()
    assert not list(directory.iterdir())


def test_an_engine_that_cannot_start_says_why(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", "--image 'x=/no/such directory'")
    with pytest.raises(StartError, match="/no/such directory") as caught:
        local_engine()
    assert caught.value.phase == "engine"
    assert not (directory / "engine.json").exists()


def test_options_of_an_engine_that_are_none_are_told(directory: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", "--image 'x=/a directory")
    with pytest.raises(StartError, match=r"^FARGATE_ENGINE_OPTIONS=--image 'x=/a directory: .*: No closing quotation"):
        local_engine()
    assert not (directory / "engine.json").exists()


@pytest.mark.root
def test_that_it_has_no_room_to_say_why_it_does_not_start_is_told(directory: Path) -> None:
    directory.mkdir(mode=0o700)
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k,mode=700", "none", directory], check=True)
    try:
        with (directory / "full").open("wb") as file, suppress(OSError):
            file.write(bytes(100_000))
        with pytest.raises(StartError, match=f"did not start: no space is left in {directory}: make some"):
            local_engine()
    finally:
        subprocess.run(["umount", "--lazy", directory], check=True)


def test_a_log_that_cannot_be_written_is_told_with_the_variable_that_names_it(
    directory: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    log = tmp_path / "missing" / "log.jsonl"
    monkeypatch.setenv("FARGATE_ENGINE_LOG", str(log))
    told = f"the local engine did not start: FARGATE_ENGINE_LOG={log}: this log cannot be written: "
    with pytest.raises(StartError) as caught:
        local_engine()
    assert caught.value.message == f"{told}No such file or directory"
    monkeypatch.delenv("FARGATE_ENGINE_LOG")
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", f"--log '{log}'")
    with pytest.raises(StartError, match=f"did not start: --log={log}: .* FARGATE_ENGINE_OPTIONS"):
        local_engine()
    assert not (directory / "engine.json").exists()


def test_engines_started_differently_have_directories_of_their_own(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.delenv("FARGATE_ENGINE_DIR", raising=False)
    plain = engine_directory()
    monkeypatch.setenv("FARGATE_ENGINE_LAUNCH_DELAY", "5")
    assert engine_directory() != plain
    assert plain.is_relative_to(tmp_path)
