"""A workspace goes out of a sandbox and into another one, whatever fails on the way."""

from __future__ import annotations

import asyncio
import io
import tarfile
import threading
import time
from typing import TYPE_CHECKING, Any

import pytest
from agents.sandbox import Manifest
from agents.sandbox.entries import Dir, File, S3Mount
from agents.sandbox.entries.mounts.base import InContainerMountStrategy
from agents.sandbox.entries.mounts.patterns import MountpointMountPattern
from agents.sandbox.errors import (
    WorkspaceArchiveReadError,
    WorkspaceArchiveWriteError,
    WorkspaceWriteTypeError,
)
from agents.sandbox.snapshot import LocalSnapshotSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient

    Run = Callable[..., Any]
    Alive = Callable[[], set[str]]


# What stands in for the tools that need FUSE: they write down what is asked of them, and fail where they are told to.
MOUNT = """#!/bin/sh
for path; do :; done
echo "up ${path##*/}" >>/tmp/asked
[ ! -e "/tmp/up-${path##*/}-fails" ] && touch "$path/theirs"
"""
UNMOUNT = """#!/bin/sh
echo "down ${2##*/}" >>/tmp/asked
[ ! -e "/tmp/down-${2##*/}-hangs" ] || sleep 86382
rm -f "$2/theirs"
"""
UP_AGAIN = ["up outer", "up inner"]


def mount() -> S3Mount:
    return S3Mount(bucket="public", mount_strategy=InContainerMountStrategy(pattern=MountpointMountPattern()))


async def with_tools(session: Any) -> Any:
    sandbox = session._inner.sandbox
    await sandbox.write_file("/usr/local/bin/mount-s3", MOUNT, mode=0o755)
    await sandbox.write_file("/usr/local/bin/fusermount3", UNMOUNT, mode=0o755)
    return session


async def asked(session: Any) -> list[str]:
    told: list[str] = (await session.exec("cat /tmp/asked; : >/tmp/asked")).stdout.decode().splitlines()
    return told


@pytest.fixture
def mounted(run: Run, client: FargateSandboxClient, alive: Alive) -> Iterator[Any]:  # noqa: ARG001
    """A session with two mounts, the deeper one of which goes down first."""

    async def made() -> Any:
        manifest = Manifest(entries={"outer": mount(), "deep": Dir(children={"inner": mount()})})
        session = await with_tools(await client.create(manifest=manifest))
        await session.start()
        await session.exec("echo mine > file; : >/tmp/asked; ls outer/theirs deep/inner/theirs >/dev/null || exit 1")
        return session

    session = run(made())
    yield session
    run(session.shutdown())


def names_in(archive: io.IOBase) -> set[str]:
    with archive, tarfile.open(fileobj=archive) as tar:  # type: ignore[call-overload]
        return {name.removeprefix("./") for name in tar.getnames()}


def tar_of(*members: tuple[str, str, str]) -> io.BytesIO:
    """Of name, kind and content, or where a link leads."""
    written = io.BytesIO()
    with tarfile.open(fileobj=written, mode="w") as tar:
        for name, kind, content in members:
            member = tarfile.TarInfo(name)
            member.type = getattr(tarfile, kind)
            member.linkname = content if kind in ("SYMTYPE", "LNKTYPE") else ""
            member.size = len(content) if kind == "REGTYPE" else 0
            tar.addfile(member, io.BytesIO(content.encode()))
    return io.BytesIO(written.getvalue())


# --- out ---------------------------------------------------------------------------------------------------------


def test_a_workspace_goes_out_without_what_is_excluded_by_its_very_name(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> set[str]:
        manifest = Manifest(
            entries={
                "kept": File(content=b"x"),
                "scratch[1]*": File(content=b"x", ephemeral=True),
                "deep": Dir(children={"cache": Dir(ephemeral=True, children={"file": File(content=b"x")})}),
            }
        )
        async with await client.create(manifest=manifest) as session:
            session.register_persist_workspace_skip_path("log")
            await session.exec("mkdir -p elsewhere/deep/cache && touch elsewhere/deep/cache/file scratch1")
            await session.exec("touch log prolog")
            return names_in(await session.persist_workspace())

    found = run(act())
    assert {"kept", "scratch1", "prolog", "deep", "elsewhere/deep/cache/file"} <= found
    assert not {"scratch[1]*", "deep/cache", "deep/cache/file", "log"} & found
    assert not alive()


def test_nothing_is_left_beside_the_workspace_and_modes_and_links_are_kept(run: Run, session: Any) -> None:
    run(session.exec("rm -rf /workspace/*; echo run > run; chmod 750 run; ln -s run link; mkdir empty"))
    archive = run(session.persist_workspace())
    assert run(session.exec("ls -A /tmp | grep workspace")).exit_code == 1
    run(session.exec("rm -rf run link empty"))
    with archive:
        run(session.hydrate_workspace(archive))
    assert run(session.exec("stat -c '%a %F %N' *")).stdout.decode().splitlines() == [
        "755 directory 'empty'",
        "777 symbolic link 'link' -> 'run'",
        "750 regular file 'run'",
    ]
    assert run(session.exec("ls -A /tmp | grep workspace")).exit_code == 1


def test_a_workspace_that_is_the_place_of_archives_does_not_hold_its_own(
    run: Run, client: FargateSandboxClient, alive: Alive
) -> None:
    async def act() -> None:
        async with await client.create(manifest=Manifest(root="/tmp")) as session:
            await session.exec("echo x > file")
            assert not [name for name in names_in(await session.persist_workspace()) if name.endswith(".tar")]

    run(act())
    assert not alive()


def test_what_tar_says_is_told_and_is_not_tried_again(run: Run, session: Any) -> None:
    run(session.exec("mv /usr/bin/tar /usr/bin/tar.away || mv /bin/tar /usr/bin/tar.away"))
    try:
        began = time.monotonic()
        with pytest.raises(WorkspaceArchiveReadError) as failed:
            run(session.persist_workspace())
        assert failed.value.context["exit_code"] == 127
        assert "not found" in failed.value.context["output"]
        assert failed.value.retryable is False
        assert time.monotonic() - began < 5
        with pytest.raises(WorkspaceArchiveWriteError) as unwritten:
            run(session.hydrate_workspace(tar_of(("file", "REGTYPE", "x"))))
        assert unwritten.value.context["reason"] == "tar_failed"
    finally:
        run(session.exec("mv /usr/bin/tar.away /usr/bin/tar"))


def test_packing_that_took_too_long_is_done_again(run: Run, session: Any) -> None:
    """The first ``tar`` hangs, the second does not."""
    run(session.exec("rm -rf /workspace/*; echo x > file; mkdir -p /opt/bin"))
    slow = '#!/bin/sh\nif mkdir /tmp/tried 2>/dev/null; then sleep 86384; fi\nexec $0.real "$@"\n'
    run(session.exec(f"t=$(command -v tar); mv $t $t.real; printf %s '{slow}' > $t; chmod 755 $t"))
    before = session.state.timeouts
    session.state.timeouts = before.model_copy(update={"workspace_s": 1})
    try:
        assert "file" in names_in(run(session.persist_workspace()))
        assert run(session.exec("pgrep", "-f", "^sleep 86384", shell=False)).exit_code == 1
    finally:
        session.state.timeouts = before
        run(session.exec("t=$(command -v tar); mv $t.real $t; rm -r /tmp/tried"))


# --- in ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("archive", "member"),
    [
        (tar_of(("/etc/x", "REGTYPE", "x")), "/etc/x"),
        (tar_of(("../x", "REGTYPE", "x")), "../x"),
        (tar_of(("link", "SYMTYPE", "/etc")), "link"),
        (tar_of(("link", "SYMTYPE", "../..")), "link"),
        (tar_of(("link", "SYMTYPE", "sub"), ("link/x", "REGTYPE", "x")), "link/x"),
        (tar_of(("file", "REGTYPE", "x"), ("hard", "LNKTYPE", "file")), "hard"),
        (tar_of(("pipe", "FIFOTYPE", "")), "pipe"),
        (io.BytesIO(b"no tar at all" * 100), "<tar>"),
    ],
)
def test_an_archive_that_wants_out_is_refused_before_it_is_unpacked(
    run: Run, session: Any, archive: io.BytesIO, member: str
) -> None:
    run(session.exec("rm -rf /workspace/*"))
    archive.seek(0)
    with pytest.raises(WorkspaceArchiveWriteError) as refused:
        run(session.hydrate_workspace(archive))
    assert (refused.value.context["reason"], refused.value.context["member"]) == ("unsafe_or_invalid_tar", member)
    assert run(session.exec("ls -A")).stdout == b""


def test_only_bytes_and_text_are_taken_for_an_archive(run: Run, session: Any) -> None:
    class Odd(io.BytesIO):
        def read(self, *_: Any) -> Any:
            return [1]

    with pytest.raises(WorkspaceWriteTypeError):
        run(session.hydrate_workspace(Odd()))
    with pytest.raises(WorkspaceArchiveWriteError):
        run(session.hydrate_workspace(io.StringIO("text is no tar")))


def test_what_comes_slowly_keeps_nobody_else_waiting(run: Run, session: Any) -> None:
    goes_on = threading.Event()

    class Slow(io.BytesIO):
        def read(self, *size: Any) -> bytes:
            assert goes_on.wait(10), "nothing else was done meanwhile"
            return super().read(*size)

    async def act() -> None:
        hydrating = session.hydrate_workspace(Slow(tar_of(("file", "REGTYPE", "x")).read()))
        both = asyncio.gather(hydrating, session.write("other", Slow(b"y")))
        await asyncio.sleep(0.05)
        goes_on.set()
        await both

    run(act())
    assert run(session.exec("cat file other")).stdout == b"xy"


def test_a_workspace_that_is_gone_is_made_again(run: Run, session: Any) -> None:
    session._inner.sandbox.blocking.exec("rm -rf /workspace")
    run(session.hydrate_workspace(tar_of(("file", "REGTYPE", "x"))))
    assert run(session.exec("cat file")).stdout == b"x"


# --- mounts ------------------------------------------------------------------------------------------------------


def test_mounts_are_down_while_it_is_packed_and_up_again_in_reverse(run: Run, mounted: Any) -> None:
    found = names_in(run(mounted.persist_workspace()))
    assert run(asked(mounted)) == ["down inner", "down outer", *UP_AGAIN]
    assert "file" in found
    assert not {"outer", "outer/theirs", "deep/inner", "deep/inner/theirs"} & found


def test_a_mount_that_does_not_go_down_has_those_before_it_up_again(run: Run, mounted: Any) -> None:
    run(mounted.exec("touch /tmp/down-outer-hangs"))
    mounted.state.timeouts = mounted.state.timeouts.model_copy(update={"exec_s": 1})
    with pytest.raises(WorkspaceArchiveReadError) as failed:
        run(mounted.persist_workspace())
    assert failed.value.context.get("reason") != "tar_failed"
    assert run(asked(mounted)) == ["down inner", "down outer", "up inner"]
    assert run(mounted.exec("cat file")).stdout == b"mine\n", "the sandbox is there still"


def test_a_mount_that_does_not_come_up_keeps_no_other_from_it_and_is_told(run: Run, mounted: Any) -> None:
    run(mounted.exec("touch /tmp/up-outer-fails /tmp/up-inner-fails"))
    with pytest.raises(WorkspaceArchiveReadError) as failed:
        run(mounted.persist_workspace())
    assert len(failed.value.context["additional_remount_errors"]) == 1
    assert run(asked(mounted))[2:] == UP_AGAIN
    assert run(mounted.exec("cat file")).stdout == b"mine\n"


def test_mounts_come_up_where_packing_fails_or_is_cancelled(run: Run, mounted: Any) -> None:
    async def act() -> None:
        await mounted.exec("printf '#!/bin/sh\\nsleep 86383' > /usr/local/bin/tar; chmod 755 /usr/local/bin/tar")
        packing = asyncio.ensure_future(mounted.persist_workspace())
        while (await mounted.exec("pgrep", "-f", "^sleep 86383", shell=False)).exit_code:
            await asyncio.sleep(0.05)
        packing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await packing
        assert (await asked(mounted))[2:] == UP_AGAIN
        assert (await mounted.exec("pgrep", "-f", "^sleep 86383", shell=False)).exit_code == 1
        await mounted.exec("printf '#!/bin/sh\\nexit 2' > /usr/local/bin/tar")
        with pytest.raises(WorkspaceArchiveReadError):
            await mounted.persist_workspace()
        assert (await asked(mounted))[2:] == UP_AGAIN

    run(act())


# --- snapshots ---------------------------------------------------------------------------------------------------


def test_a_snapshot_is_written_when_a_session_stops_and_fills_the_next_one_which_mounts_anew(
    run: Run, client: FargateSandboxClient, alive: Alive, tmp_path: Path
) -> None:
    async def act() -> None:
        manifest = Manifest(entries={"data": mount(), "scratch": File(content=b"first", ephemeral=True)})
        snapshot = LocalSnapshotSpec(base_path=tmp_path)
        async with await with_tools(await client.create(snapshot=snapshot, manifest=manifest)) as first:
            await first.exec("echo made > made; echo changed > scratch")
        assert not alive()
        assert len(list(tmp_path.iterdir())) == 1
        state = client.deserialize_session_state(client.serialize_session_state(first.state))
        async with await with_tools(await client.resume(state)) as again:
            assert (await again.exec("cat made scratch; ls data")).stdout == b"made\nfirsttheirs\n"
            assert await asked(again) == ["up data"]
        assert not alive()

    run(act())


def test_a_session_that_cannot_be_stopped_keeps_its_sandbox_until_it_is_deleted(
    run: Run, client: FargateSandboxClient, alive: Alive, tmp_path: Path
) -> None:
    async def act() -> None:
        session = await client.create(snapshot=LocalSnapshotSpec(base_path=tmp_path))
        await session.start()
        await session.exec("printf '#!/bin/sh\\nexit 2' > /usr/local/bin/tar; chmod 755 /usr/local/bin/tar")
        with pytest.raises(WorkspaceArchiveReadError):
            await session.aclose()
        assert (await session.exec("ls /tmp")).ok()
        await client.delete(session)

    run(act())
    assert not alive()
