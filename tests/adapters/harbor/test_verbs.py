"""What Harbor's agents and verifiers do in an environment that runs."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import UnknownUser
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Started = Callable[..., None]


def test_a_command_has_its_directory_its_user_and_the_later_of_two_values(started: Started) -> None:
    async def act(there: Any) -> None:
        said = 'echo "$(pwd) $(id -un) $ONE $TWO $THREE"; echo bad >&2; [[ x == x ]] && exit 3'
        with there.scoped_exec_env({"THREE": "scope"}):
            done = await there.exec(said, env={"TWO": "call", "THREE": "call"})
        assert (done.stdout, done.stderr, done.return_code) == ("/work root task call scope\n", "bad\n", 3)
        with there.with_default_user("nobody"):
            assert (await there.exec("id -un; pwd", cwd="/tmp")).stdout == "nobody\n/tmp\n"
            assert (await there.exec("id -u", user=0)).stdout == "0\n"
        with pytest.raises(UnknownUser, match="who-is-that"):
            await there.exec("true", user="who-is-that")

    says = {"workdir": "/work", "env": {"ONE": "task", "TWO": "task"}}
    started(act, None, {"persistent_env": {"TWO": "trial"}}, **says)


def test_a_command_out_of_time_ends_with_all_that_it_has_started(started: Started) -> None:
    async def act(there: Any) -> None:
        with pytest.raises(RuntimeError, match="Command timed out after 1 seconds"):
            await there.exec("sleep 4711 & sleep 4711", timeout_sec=1)
        assert (await there.exec("pgrep -f 'sleep 471[1]'")).return_code == 1

    started(act)


def test_a_cancelled_command_ends_with_all_that_it_has_started(started: Started) -> None:
    async def act(there: Any) -> None:
        running = asyncio.create_task(there.exec("sleep 4712 & touch /tmp/runs; sleep 4712"))
        while (await there.exec("test -e /tmp/runs")).return_code:
            await asyncio.sleep(0.05)
        running.cancel()
        with pytest.raises(asyncio.CancelledError):
            await running
        assert (await there.exec("pgrep -f 'sleep 471[2]'")).return_code == 1

    started(act)


def test_output_is_told_as_it_comes_in_whole_characters_and_no_faster_than_it_is_taken(started: Started) -> None:
    heard: list[tuple[str, str]] = []

    async def slowly(text: str, stream: str) -> None:
        await asyncio.sleep(0.01)
        heard.append((stream, text))

    async def act(there: Any) -> None:
        with there.scoped_output_callback(slowly):
            said = r"printf '\342\202'; sleep 0.3; printf '\254'; sleep 0.3; echo late >&2; printf '\342'; sleep 0.3"
            running = asyncio.create_task(there.exec(f"echo early; {said}"))
            await asyncio.to_thread(wait_until, lambda: heard or None, deadline=10, what="the first word")
            assert not running.done()
            done = await running
        assert "".join(text for stream, text in heard if stream == "stdout") == "early\n€\ufffd" == done.stdout
        assert [text for stream, text in heard if stream == "stderr"] == ["late\n"]
        assert all("\ufffd" not in text for _, text in heard[:-1])

    started(act)


def test_who_listens_and_fails_is_heard(started: Started) -> None:
    async def fails(_text: str, _stream: str) -> None:
        raise ValueError("the log is full")

    async def act(there: Any) -> None:
        with there.scoped_output_callback(fails), pytest.raises(ValueError, match="the log is full"):
            await there.exec("echo hello; sleep 4713")
        assert (await there.exec("pgrep -f 'sleep 471[3]'")).return_code == 1

    started(act)


def test_who_listens_and_never_goes_on_keeps_neither_the_time_nor_who_cancels(started: Started) -> None:
    async def hangs(_text: str, _stream: str) -> None:
        await asyncio.Event().wait()

    async def act(there: Any) -> None:
        with there.scoped_output_callback(hangs):
            began = time.monotonic()
            with pytest.raises(RuntimeError, match="Command timed out after 1 seconds"):
                await there.exec("echo hello; sleep 4714", timeout_sec=1)
            running = asyncio.create_task(there.exec("echo hello; touch /tmp/said; sleep 4714"))
            while not await there._sandbox.exists("/tmp/said"):
                await asyncio.sleep(0.05)
            running.cancel()
            with pytest.raises(asyncio.CancelledError):
                await running
            assert time.monotonic() - began < 9
        assert (await there.exec("pgrep -f 'sleep 471[4]'")).return_code == 1

    started(act)


def test_an_image_without_bash_has_its_sh(started: Started) -> None:
    async def act(there: Any) -> None:
        await there.exec("mv $(readlink -f $(command -v bash)) /gone")
        assert (await there.exec("echo $0")).stdout == "sh\n"
        assert (await there.exec("no-such-program")).return_code == 127

    started(act)


def test_files_and_directories_go_there_and_come_back(started: Started, tmp_path: Path) -> None:
    tree = tmp_path / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("run.sh")

    async def act(there: Any) -> None:
        await there.upload_file(tree / "run.sh", "/deep/er/script")
        await there.exec("mkdir -p /target/sub && echo old > /target/old && echo old > /target/run.sh")
        await there.upload_dir(tree, "/target")
        assert (
            await there.exec("/target/link; /deep/er/script; ls /target")
        ).stdout == "ran\nran\nlink\nold\nrun.sh\nsub\n"
        with pytest.raises(FileNotFoundError):
            await there.upload_dir(tmp_path / "nowhere", "/target")
        back = tmp_path / "back"
        back.mkdir()
        (back / "old").write_text("older")
        (back / "mine").write_text("mine")
        await there.download_dir("/target", back)
        assert sorted(each.name for each in back.iterdir()) == ["link", "mine", "old", "run.sh", "sub"]
        assert ((back / "old").read_text(), (back / "link").readlink().name) == ("old\n", "run.sh")
        assert (back / "sub" / "empty").is_dir()
        await there.download_file("/target/old", tmp_path / "new" / "old")
        assert (tmp_path / "new" / "old").read_text() == "old\n"
        with pytest.raises(FileNotFoundError):
            await there.download_file("/nowhere", tmp_path / "nowhere")

    started(act)


def test_what_an_agent_left_that_leads_elsewhere_costs_nothing_else_of_a_directory(
    started: Started, tmp_path: Path
) -> None:
    async def act(there: Any) -> None:
        await there.exec("mkdir -p /logs/x && cd /logs/x && echo kept > kept && ln -s /etc/passwd out && mkfifo pipe")
        await there.exec("cd /logs/x && ln -s ../../../up up && ln -s kept inside && mkdir d && echo deep > d/deep")
        await there.download_dir("/logs/x", tmp_path / "x")
        found = {each.relative_to(tmp_path / "x").as_posix() for each in (tmp_path / "x").rglob("*")}
        assert found == {"kept", "inside", "d", "d/deep"}

    started(act)


def test_harbors_own_ways_with_directories_work(started: Started, tmp_path: Path) -> None:
    async def act(there: Any) -> None:
        await there.exec("mkdir -p /data/x.tmp && cd /data && echo 1 > keep && echo 2 > leave.tmp")
        await there.download_dir_with_exclusions(source_dir="/data", target_dir=tmp_path / "a", exclude=["*.tmp"])
        assert [each.name for each in (tmp_path / "a").iterdir()] == ["keep"]
        await there.download_dir_filtered(source_dir="/data", target_dir=tmp_path / "b", include=["k*"], exclude=[])
        assert [each.name for each in (tmp_path / "b").iterdir()] == ["keep"]
        assert await there.is_dir("/data")
        assert not await there.is_dir("/data/keep")
        assert await there.is_file("/data/keep")
        await there.empty_dirs(["/data"])
        assert (await there.exec("ls -A /data; stat -c %a /data")).stdout == "777\n"

    started(act)


def test_output_directories_are_there_for_every_user_and_the_environments_files_in_its_directory(
    started: Started,
) -> None:
    async def act(there: Any) -> None:
        assert (await there.exec("stat -c %a /logs/agent; cat given; pwd")).stdout == "777\ngiven/app\n"

    mount = {"type": "bind", "source": "/nowhere", "target": "/logs/agent"}
    started(act, {"given": "given"}, {"auto_mounts": [mount]}, workdir="/app")


def test_a_health_check_is_waited_for(started: Started) -> None:
    async def act(there: Any) -> None:
        began = time.monotonic()
        await there.run_healthcheck()
        assert time.monotonic() - began < 30
        assert (await there.exec("cat /tmp/asked")).stdout == "asked\nasked\n"

    check = {"command": "echo asked >> /tmp/asked; [ $(wc -l < /tmp/asked) -ge 2 ]", "interval_sec": 0.05, "retries": 3}
    started(act, healthcheck=check)
