"""Paths without their content, whose rights count, and what a file may cost."""

from __future__ import annotations

import os

from pytest_fargate_sandbox.conformance.behaviour import Sandbox, behaviour
from pytest_fargate_sandbox.conformance.looking import (
    MIB,
    has_other_users,
    raises,
    same,
    scratch_here,
    scratch_there,
    true,
)
from pytest_fargate_sandbox.leaves.errors import FileTimeout, RemoteFileError, RemotePermissionError, UnknownUser


@behaviour
def what_is_known_of_a_path_is_told(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/file", b"12345", mode=0o640)
        sandbox.exec(f"touch -d @1600000000 {scratch}/file && ln -s file {scratch}/link", check=True)
        sandbox.exec(f"ln -s nowhere {scratch}/broken && mkfifo {scratch}/pipe", check=True)
        owner = sandbox.exec(f"stat -c '%u %g' {scratch}/file").stdout.split()
        for status in (sandbox.stat(f"{scratch}/file"), sandbox.stat(f"{scratch}/link")):
            same((status.kind, status.size, status.mode, status.mtime), ("file", 5, 0o640, 1.6e9), "the file")
            same([str(status.uid), str(status.gid)], owner, "its owner")
        same(sandbox.stat(scratch).is_directory, True, "whether the directory is one")
        same(sandbox.stat(f"{scratch}/pipe").kind, "other", "what a named pipe is")
        link = sandbox.stat(f"{scratch}/broken", follow=False)
        same((link.kind, link.target), ("link", "nowhere"), "a link, of itself")
        names = ("file", "link", "broken", "none", "file/below")
        found = [name for name in names if sandbox.exists(f"{scratch}/{name}")]
        same(found, ["file", "link"], "what is there, behind a link")
        raises(FileNotFoundError, lambda: sandbox.stat(f"{scratch}/broken"))


@behaviour
def directories_are_made_and_paths_removed(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        for _ in range(2):
            sandbox.mkdir(f"{scratch}/a/b", mode=0o700)
        same(sandbox.stat(f"{scratch}/a/b").mode, 0o700, "the mode that was asked for")
        raises(FileNotFoundError, lambda: sandbox.mkdir(f"{scratch}/c/d", parents=False))
        sandbox.write_file(f"{scratch}/a/b/file", b"x")
        raises(RemoteFileError, lambda: sandbox.mkdir(f"{scratch}/a/b/file"))
        raises(RemoteFileError, lambda: sandbox.remove(f"{scratch}/a"))
        sandbox.exec(f"ln -s a {scratch}/link", check=True)
        sandbox.remove(f"{scratch}/link", recursive=True)
        true(sandbox.exists(f"{scratch}/a/b/file"), "what a removed link leads to stays")
        sandbox.remove(f"{scratch}/a", recursive=True)
        same(sandbox.list_files(scratch), [], "what is left")
        raises(FileNotFoundError, lambda: sandbox.remove(f"{scratch}/a"))
        sandbox.remove(f"{scratch}/a", missing_ok=True)


@behaviour
def globs_find_paths(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        for name in ("a.txt", "b.py", "deep/er/c.txt", "deep/.hidden.txt", "d.txt/e"):
            sandbox.write_file(f"{scratch}/{name}", b"")
        sandbox.exec(f"ln -s . {scratch}/loop", check=True)

        def found(pattern: str) -> list[str]:
            return [path.removeprefix(f"{scratch}/") for path in sandbox.glob(f"{scratch}/{pattern}")]

        same(found("*.txt"), ["a.txt", "d.txt"], "*.txt")
        same(found("**/*.txt"), ["a.txt", "d.txt", "deep/.hidden.txt", "deep/er/c.txt"], "**/*.txt")
        same(found("deep/**"), ["deep", "deep/.hidden.txt", "deep/er", "deep/er/c.txt"], "deep/**")
        same(found("[ab].*"), ["a.txt", "b.py"], "[ab].*")
        same(found("none*"), [], "what nothing fits")
        raises((ValueError, RemoteFileError), lambda: sandbox.glob(f"{scratch}/../*"))


@behaviour
def files_are_read_and_written_with_a_users_rights(sandbox: Sandbox) -> None:
    if not has_other_users(sandbox):
        error = raises(RemotePermissionError, lambda: sandbox.read_file("/etc/passwd", user="12345"))
        true("root" in str(error), f"the error should say that this takes root: {error}")
        return
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        sandbox.exec(f"chmod 755 {scratch} && mkdir -m 777 {scratch}/open", check=True)
        sandbox.write_file(f"{scratch}/secret", b"x", mode=0o600)
        sandbox.write_file(f"{scratch}/read-only", b"x", mode=0o644)
        (local / "file").write_bytes(b"local")
        for act in (
            lambda: sandbox.read_file(f"{scratch}/secret", user="12345"),
            lambda: sandbox.download(f"{scratch}/secret", local / "back", user="12345"),
            lambda: sandbox.write_file(f"{scratch}/read-only", b"y", user="12345"),
            lambda: sandbox.write_file(f"{scratch}/new", b"y", user="12345"),
            lambda: sandbox.upload(local / "file", f"{scratch}/new", user="12345"),
            lambda: sandbox.upload(local, f"{scratch}/tree", user="12345"),
            lambda: sandbox.mkdir(f"{scratch}/directory", user="12345"),
            lambda: sandbox.remove(f"{scratch}/secret", user="12345"),
        ):
            raises(PermissionError, act)
        same(sandbox.list_files(scratch), ["open", "read-only", "secret"], "all that is there")
        sandbox.write_file(f"{scratch}/open/made", b"", user="12345:678")
        sandbox.upload(local, f"{scratch}/open/tree", user="12345")
        owners = sandbox.exec(f"stat -c '%u:%g' {scratch}/open/made {scratch}/open/tree/file").stdout.split()
        same(owners, ["12345:678", "12345:12345"], "whose they are")
        same(sandbox.read_file(f"{scratch}/secret", user="root"), b"x", "what root reads")
        raises(UnknownUser, lambda: sandbox.exists(scratch, user="nobody-by-this-name"))


@behaviour
def no_more_is_read_than_was_asked_for(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/file", b"x" * MIB)
        same(len(sandbox.read_file(f"{scratch}/file", max_bytes=MIB)), MIB, "a file of just so many bytes")
        error = raises(RemoteFileError, lambda: sandbox.read_file(f"{scratch}/file", max_bytes=MIB - 1))
        same(error.kind, "too_large", "the kind of the error")


@behaviour
def a_transfer_has_the_time_that_it_is_given(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        (local / "file").write_bytes(b"new" * 30 * MIB)
        sandbox.write_file(f"{scratch}/file", b"old")
        raises(FileTimeout, lambda: sandbox.upload(local / "file", f"{scratch}/file", timeout_sec=0.02))
        same(sandbox.read_file(f"{scratch}/file"), b"old", "the file after an upload that was out of time")
        sandbox.upload(local / "file", f"{scratch}/large", timeout_sec=60)
        raises(FileTimeout, lambda: sandbox.download(f"{scratch}/large", local / "back", timeout_sec=0.02))
        same(os.listdir(local), ["file"], "what is left here of a download that was out of time")  # noqa: PTH208
