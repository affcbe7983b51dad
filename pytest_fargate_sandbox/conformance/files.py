"""Files and directories, there and back, and everything that may be wrong with them."""

from __future__ import annotations

import os
import threading

from pytest_fargate_sandbox.conformance.behaviour import Sandbox, behaviour, large_behaviour
from pytest_fargate_sandbox.conformance.looking import (
    MIB,
    has_other_users,
    is_root,
    picture,
    raises,
    round_trip,
    same,
    scratch_here,
    scratch_there,
    true,
)
from pytest_fargate_sandbox.leaves.errors import RemoteIsADirectory, SandboxError, UnsafeArchiveError


# --- files ----------------------------------------------------------------------------------------------------------
@behaviour
def files_of_all_sizes_go_there_and_back(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        for size in (0, 1, 511, 512, 4096, 65536, 262144, 262145, 5 * MIB + 3):
            round_trip(sandbox, scratch, local, size)


@large_behaviour
def a_large_file_goes_there_and_back(sandbox: Sandbox, size: int) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        round_trip(sandbox, scratch, local, size)


@behaviour
def mode_and_time_travel_with_a_file(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        script = local / "script"
        script.write_text("#!/bin/sh\necho ran\n")
        script.chmod(0o750)
        os.utime(script, (1_600_000_000, 1_600_000_000))
        sandbox.upload(script, f"{scratch}/script")
        same(sandbox.exec([f"{scratch}/script"]).stdout, "ran\n", "the output of the uploaded program")
        sandbox.download(f"{scratch}/script", local / "back")
        status = (local / "back").stat()
        same((status.st_mode & 0o777, int(status.st_mtime)), (0o750, 1_600_000_000), "mode and time after the trip")


@behaviour
def missing_parents_are_made(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/a/b/c/file", b"deep")
        same(sandbox.read_file(f"{scratch}/a/b/c/file"), b"deep", "a file under new directories")


@behaviour
def a_file_that_is_written_stays_the_same_file(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        path = f"{scratch}/file"
        sandbox.write_file(path, b"old" * 2 * MIB)
        sandbox.exec(f"chmod 640 {path} && ln {path} {scratch}/link && ln -s file {scratch}/pointer", check=True)
        sandbox.write_file(f"{scratch}/pointer", b"new")
        same(sandbox.read_file(f"{scratch}/link"), b"new", "what is read by the file's other name")
        same(sandbox.exec(f"ls -l {path} | cut -c1-10").stdout, "-rw-r-----\n", "the mode that it had")
        sandbox.write_file(path, b"l" * 5 * MIB)  # more than is kept in memory
        same(sandbox.read_file(f"{scratch}/link"), b"l" * 5 * MIB, "what is read by the file's other name")
        same(sandbox.list_files(scratch), ["file", "link", "pointer"], "all that is left in the directory")
        sandbox.exec(f"chmod 444 {path}", check=True)
        if not is_root(sandbox):
            raises(PermissionError, lambda: sandbox.write_file(path, b"no"))


@behaviour
def a_file_is_replaced_as_a_whole(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        path = f"{scratch}/file"
        sandbox.write_file(path, b"old" * 1000)
        sandbox.exec(["chmod", "640", path], check=True)
        sandbox.exec(["ln", path, f"{scratch}/link"], check=True)
        sandbox.write_file(path, b"new", atomic=True)
        same(sandbox.read_file(path), b"new", "the content after the second write")
        same(sandbox.read_file(f"{scratch}/link"), b"old" * 1000, "the file that was there, by its other name")
        same(sandbox.exec(f"ls -l {path} | cut -c1-10").stdout, "-rw-r-----\n", "the mode that it had")
        same(sandbox.list_files(scratch), ["file", "link"], "all that is left in the directory")


@behaviour
def a_reader_never_sees_half_a_file(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        path, size = f"{scratch}/file", MIB
        sandbox.write_file(path, b"a" * size)
        look = f"i=0; while [ $i -lt 20 ]; do cat {path} | wc -c; i=$((i+1)); done"
        sizes: list[str] = []
        reader = threading.Thread(target=lambda: sizes.extend(sandbox.exec(look).stdout.split()))
        reader.start()
        while reader.is_alive():
            sandbox.write_file(path, b"b" * size, atomic=True)
        reader.join()
        same(set(sizes), {str(size)}, "the sizes that a reader saw")


@behaviour
def names_may_be_odd(sandbox: Sandbox) -> None:
    odd = ["with space", "quote'\"", "new\nline", "ünï-世界", "-dash", "*?[x]", "$(id)", "back\\slash", "x" * 250]
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        for name in odd:
            sandbox.write_file(f"{scratch}/{name}", name)
            same(sandbox.read_file(f"{scratch}/{name}").decode(), name, f"the content of {name!r}")
        same(sandbox.list_files(scratch), sorted(odd, key=str.encode), "the listing")
        sandbox.download(scratch, local / "tree")
        same(sorted(path.name for path in (local / "tree").iterdir()), sorted(odd), "the names after a download")


@behaviour
def a_missing_path_is_a_file_not_found(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        missing = f"{scratch}/missing"
        for act in (
            lambda: sandbox.read_file(missing),
            lambda: sandbox.list_files(missing),
            lambda: sandbox.download(missing, local / "nothing"),
        ):
            error = raises(FileNotFoundError, act)
            true("missing" in str(error), f"the error should name the path: {error}")
        same(list(local.iterdir()), [], "what a failed download leaves here")
        raises(FileNotFoundError, lambda: sandbox.upload(local / "none", f"{scratch}/none"))


@behaviour
def a_directory_is_no_file(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        raises(RemoteIsADirectory, lambda: sandbox.read_file(scratch))
        raises(RemoteIsADirectory, lambda: sandbox.write_file(scratch, b"x"))
        sandbox.write_file(f"{scratch}/file", b"x")
        raises(SandboxError, lambda: sandbox.list_files(f"{scratch}/file"))
        raises(SandboxError, lambda: sandbox.write_file(f"{scratch}/file/below", b"x"))


@behaviour
def a_path_that_may_not_be_touched_is_a_permission_error(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/closed/secret", b"x")
        sandbox.exec(f"chmod 000 {scratch}/closed", check=True)
        if has_other_users(sandbox):
            result = sandbox.exec(f"cat {scratch}/closed/secret", user="12345")
            true(not result.ok and "ermission" in result.stderr, f"another user should be refused: {result}")
        elif not is_root(sandbox):
            raises(PermissionError, lambda: sandbox.read_file(f"{scratch}/closed/secret"))
            raises(PermissionError, lambda: sandbox.write_file(f"{scratch}/closed/new", b"x"))
        sandbox.exec(f"chmod 700 {scratch}/closed")


@behaviour
def a_path_with_a_nul_is_refused(sandbox: Sandbox) -> None:
    for act in (lambda: sandbox.read_file("/tmp/a\0b"), lambda: sandbox.exec("echo a\0b")):
        raises((ValueError, SandboxError), act)
    same(sandbox.exec("echo alive").stdout, "alive\n", "the next command")


# --- directories ----------------------------------------------------------------------------------------------------
@behaviour
def a_directory_goes_there_and_back(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        tree = local / "tree"
        (tree / "sub" / "empty").mkdir(parents=True)
        (tree / "top.txt").write_text("top")
        (tree / "sub" / "run.sh").write_text("#!/bin/sh\necho ran\n")
        (tree / "sub" / "run.sh").chmod(0o755)
        (tree / "link").symlink_to("sub/run.sh")
        sandbox.upload(tree, f"{scratch}/tree")
        same(sandbox.exec([f"{scratch}/tree/link"]).stdout, "ran\n", "a program behind a link in the uploaded tree")
        sandbox.download(f"{scratch}/tree", local / "back")
        same(picture(local / "back"), picture(tree), "the tree after the trip")


@behaviour
def a_directory_is_merged_into_one_that_exists(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        sandbox.write_file(f"{scratch}/tree/kept", b"kept")
        sandbox.write_file(f"{scratch}/tree/changed", b"old")
        (local / "changed").write_text("new")
        (local / "added").write_text("added")
        sandbox.upload(local, f"{scratch}/tree")
        same(sandbox.list_files(f"{scratch}/tree"), ["added", "changed", "kept"], "the names after the merge")
        same(sandbox.read_file(f"{scratch}/tree/changed"), b"new", "the file that was in both")


@behaviour
def many_small_files_travel_as_one(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        for number in range(1000):
            (local / f"file-{number:04}").write_bytes(b"%d" % number * 300)
        sandbox.upload(local, f"{scratch}/many")
        same(sandbox.exec(f"ls {scratch}/many | wc -l").stdout.strip(), "1000", "the number of files there")
        with scratch_here() as back:
            sandbox.download(f"{scratch}/many", back / "many")
            same(picture(back / "many"), picture(local), "the files after the trip")


@behaviour
def a_link_out_of_the_tree_is_refused_and_nothing_changes(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch, scratch_here() as local:
        (local / "aaa").write_text("fine by itself")
        (local / "evil").symlink_to("../../../etc/passwd")
        raises(UnsafeArchiveError, lambda: sandbox.upload(local, f"{scratch}/tree"))
        same(sandbox.list_files(scratch), [], "what a refused upload leaves there")
        sandbox.exec(f"mkdir {scratch}/out; echo x > {scratch}/out/a; ln -s /etc/passwd {scratch}/out/b", check=True)
        with scratch_here() as back:
            raises(UnsafeArchiveError, lambda: sandbox.download(f"{scratch}/out", back / "out"))
            same(list(back.iterdir()), [], "what a refused download leaves here")
