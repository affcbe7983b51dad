"""What any sandbox must do, as a list of checks: every kind of sandbox and every engine passes the same ones.

    from pytest_fargate_sandbox.conformance import BEHAVIOURS

    @pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
    def test_conformance(sandbox, behaviour):
        behaviour(sandbox)

Each takes a started sandbox, uses its public methods only, works in a directory of its own, and raises an
``AssertionError`` that says what was expected. They need nothing in the sandbox but a shell and what busybox has, and
may run at the same time. ``LARGE_BEHAVIOURS`` are those that move a gigabyte.
"""

from __future__ import annotations

import os
import random
import shutil
import tempfile
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import (
    ExecFailed,
    ExecTimeout,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemotePermissionError,
    SandboxError,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

Sandbox = Any
"""A started sandbox. Not the protocol: of its own accord that promises less than is checked here."""

_MIB = 1024 * 1024


@dataclass(frozen=True)
class Behaviour:
    """One check; its name is the sentence that it holds a sandbox to."""

    name: str
    check: Callable[[Sandbox], None]

    def __call__(self, sandbox: Sandbox) -> None:
        self.check(sandbox)

    def __str__(self) -> str:
        return self.name


_everyday: list[Behaviour] = []
_large: list[Behaviour] = []


def _behaviour(check: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    _everyday.append(Behaviour(check.__name__, check))
    return check


def _large_behaviour(check: Callable[[Sandbox], None]) -> Callable[[Sandbox], None]:
    _large.append(Behaviour(check.__name__, check))
    return check


# --- exit codes and signals -----------------------------------------------------------------------------------------
@_behaviour
def an_exit_code_is_a_result(sandbox: Sandbox) -> None:
    for code in (0, 1, 2, 77, 255):
        _same(sandbox.exec(f"exit {code}").return_code, code, f"the code of exit {code}")


@_behaviour
def a_command_killed_by_a_signal_has_128_plus_its_number(sandbox: Sandbox) -> None:
    for name, number in (("TERM", 15), ("KILL", 9), ("SEGV", 11)):
        _same(sandbox.exec(f"kill -{name} $$").return_code, 128 + number, f"the code after SIG{name}")


@_behaviour
def a_missing_program_has_the_shells_code(sandbox: Sandbox) -> None:
    result = sandbox.exec("no-such-program-anywhere")
    _same(result.return_code, 127, "the code of a missing program")
    _true("not found" in result.stderr, f"stderr should say 'not found': {result.stderr!r}")
    _same(sandbox.exec(["no-such-program-anywhere"]).return_code, 127, "the same without a shell")


@_behaviour
def a_file_that_is_no_program_has_the_shells_code(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/plain", b"text", mode=0o644)
        _same(sandbox.exec([f"{scratch}/plain"]).return_code, 126, "the code of a file that cannot be executed")


@_behaviour
def check_raises_for_a_failed_command(sandbox: Sandbox) -> None:
    error = _raises(ExecFailed, lambda: sandbox.exec("echo why >&2; exit 9", check=True))
    _same((error.return_code, error.stderr), (9, "why\n"), "what the error carries")


# --- streams --------------------------------------------------------------------------------------------------------
@_behaviour
def stdout_and_stderr_stay_apart(sandbox: Sandbox) -> None:
    result = sandbox.exec("echo one; echo two >&2; echo three")
    _same((result.stdout, result.stderr), ("one\nthree\n", "two\n"), "the two streams")


@_behaviour
def silence_is_two_empty_streams(sandbox: Sandbox) -> None:
    result = sandbox.exec("true")
    _same((result.stdout, result.stderr, result.ok), ("", "", True), "a silent command")


@_behaviour
def every_byte_comes_back_as_it_was(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        content = bytes(range(256)) * 300 + b"\r\n\x00\xff"
        sandbox.write_file(f"{scratch}/bytes", content)
        _same_bytes(sandbox.exec(f"cat {scratch}/bytes").stdout_bytes, content, "what cat says")


@_behaviour
def text_is_unicode_and_broken_text_is_replaced(sandbox: Sandbox) -> None:
    sentence = "grüße, 世界, 🚀, e\u0301"
    _same(sandbox.exec(f"printf %s '{sentence}'").stdout, sentence, "Unicode through a command line")
    result = sandbox.exec(r"printf 'a\377b'")
    _same((result.stdout, result.stdout_bytes), ("a\ufffdb", b"a\xffb"), "a byte that is no UTF-8")


@_behaviour
def a_hundred_megabytes_of_output_arrive_whole(sandbox: Sandbox) -> None:
    result = sandbox.exec("dd if=/dev/zero bs=1048576 count=100 2>/dev/null | tr '\\0' x; echo end", 300)
    _same(len(result.stdout_bytes), 100 * _MIB + 4, "the size of the output")
    _true(result.stdout_bytes.endswith(b"xend\n"), "the output should end as it ended there")
    _true(result.stdout_bytes.count(b"x") == 100 * _MIB, "the output should be nothing but what was written")
    _same(result.truncated, False, "truncated")


@_behaviour
def both_streams_flow_at_once(sandbox: Sandbox) -> None:
    command = "i=0; while [ $i -lt 3000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"
    result = sandbox.exec(command)
    _same(result.stdout.splitlines(), [f"out{i}" for i in range(3000)], "stdout")
    _same(result.stderr.splitlines(), [f"err{i}" for i in range(3000)], "stderr")


@_behaviour
def output_arrives_while_the_command_runs(sandbox: Sandbox) -> None:
    arrivals: list[tuple[str, bytes, float]] = []
    start = time.monotonic()

    def note(chunk: Any) -> None:
        arrivals.append((chunk.stream, bytes(chunk), time.monotonic() - start))

    sandbox.exec("echo first; echo aside >&2; sleep 1.5; echo last", on_output=note)
    _same(b"".join(data for stream, data, _ in arrivals if stream == "stdout"), b"first\nlast\n", "all of stdout")
    _same(b"".join(data for stream, data, _ in arrivals if stream == "stderr"), b"aside\n", "all of stderr")
    _true(arrivals[-1][2] - arrivals[0][2] > 0.5, f"the first words should come well before the last: {arrivals}")


@_behaviour
def output_beyond_the_cap_lies_in_a_file(sandbox: Sandbox) -> None:
    result = sandbox.exec("seq 1 5000", max_output_bytes=1000)
    whole = "".join(f"{i}\n" for i in range(1, 5001)).encode()
    _same((result.truncated, result.stdout_bytes), (True, whole[:1000]), "what came back")
    _true(bool(result.stdout_spool), "the result should name the file with the rest")
    _same_bytes(sandbox.read_file(result.stdout_spool), whole, "the whole output in the file")
    _same(sandbox.exec("seq 1 10", max_output_bytes=1000).truncated, False, "truncated, with nothing over the cap")


# --- stdin ----------------------------------------------------------------------------------------------------------
@_behaviour
def stdin_is_empty_unless_given(sandbox: Sandbox) -> None:
    _same(sandbox.exec("cat; echo done", 20).stdout, "done\n", "cat without stdin")


@_behaviour
def stdin_takes_text_and_bytes(sandbox: Sandbox) -> None:
    _same(sandbox.exec("cat", stdin="grüße\n").stdout, "grüße\n", "text through cat")
    content = bytes(range(256)) * 4096
    _same_bytes(sandbox.exec("cat", stdin=content).stdout_bytes, content, "a mebibyte through cat")


@_behaviour
def a_large_stdin_streams(sandbox: Sandbox) -> None:
    content = random.Random(7).randbytes(8 * _MIB)
    result = sandbox.exec("cat", stdin=content)
    _same_bytes(result.stdout_bytes, content, "8 MiB through cat")


@_behaviour
def a_command_need_not_read_its_stdin(sandbox: Sandbox) -> None:
    for size in (10, 3 * _MIB):
        _same(sandbox.exec("exit 3", 30, stdin=b"x" * size).return_code, 3, f"the code with {size} bytes unread")


# --- environment, directory, user -------------------------------------------------------------------------------------
@_behaviour
def the_environment_takes_newlines_and_quotes(sandbox: Sandbox) -> None:
    value = "a 'single' \"double\" $HOME `id` \\ line\nnext\ttab = ünï"
    result = sandbox.exec('printf %s "$AWKWARD"', env={"AWKWARD": value})
    _same(result.stdout, value, "the variable as the command sees it")
    _same(sandbox.exec('printf %s "$AWKWARD"').stdout, "", "the variable in the next command")


@_behaviour
def the_sandbox_tells_commands_no_secret_of_its_own(sandbox: Sandbox) -> None:
    _same(sandbox.exec("env | grep -c FARGATE_SANDBOX").stdout, "0\n", "variables of the sandbox's own")


@_behaviour
def a_command_runs_where_it_is_told(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        name = f"{scratch}/with space"
        sandbox.exec(["mkdir", name], check=True)
        _same(sandbox.exec("pwd", cwd=name).stdout, name + "\n", "the working directory")
        error = _raises(RemoteFileNotFound, lambda: sandbox.exec("pwd", cwd=f"{scratch}/missing"))
        _true("missing" in str(error), f"the error should name the directory: {error}")


@_behaviour
def a_list_is_run_without_a_shell(sandbox: Sandbox) -> None:
    result = sandbox.exec(["printf", "%s|", "$HOME", "a b", "", "*"])
    _same(result.stdout, "$HOME|a b||*|", "arguments that a shell would have changed")


@_behaviour
def a_command_can_run_as_another_user(sandbox: Sandbox) -> None:
    if not _has_other_users(sandbox):
        error = _raises(RemotePermissionError, lambda: sandbox.exec("id", user="12345"))
        _true("root" in str(error), f"the error should say that this takes root: {error}")
        return
    _same(sandbox.exec("id -u; id -g", user="12345").stdout, "12345\n12345\n", "a numeric user")
    _same(sandbox.exec("id -u; id -g", user="12345:678").stdout, "12345\n678\n", "a numeric user and group")
    result = sandbox.exec("id -un; echo $HOME", user="root")
    _same(result.stdout.splitlines()[0], "root", "a user by name")


@_behaviour
def an_unknown_user_is_an_error(sandbox: Sandbox) -> None:
    error = _raises(SandboxError, lambda: sandbox.exec("id", user="nobody-by-this-name"))
    _true("nobody-by-this-name" in str(error), f"the error should name the user: {error}")


# --- long commands --------------------------------------------------------------------------------------------------
@_behaviour
def a_very_long_command_works(sandbox: Sandbox) -> None:
    for size in (100_000, 300_000, 3_000_000):
        result = sandbox.exec(f"x='{'y' * size}'; echo ${{#x}}")
        _same((result.stdout, result.stderr), (f"{size}\n", ""), f"a command of {size} characters")


@_behaviour
def a_command_may_be_many_lines(sandbox: Sandbox) -> None:
    script = "for word in one two; do\n  echo $word\ndone\ncat <<'END'\n$literal 'quotes'\nEND\n"
    _same(sandbox.exec(script).stdout, "one\ntwo\n$literal 'quotes'\n", "a script with a here-document")


# --- time -----------------------------------------------------------------------------------------------------------
@_behaviour
def a_time_out_keeps_the_output_and_says_so(sandbox: Sandbox) -> None:
    start = time.monotonic()
    result = sandbox.exec("echo before; echo warning >&2; sleep 60; echo after", 1)
    _same((result.return_code, result.timed_out), (124, True), "the code and the flag")
    _same((result.stdout, result.stderr), ("before\n", "warning\n"), "the output up to then")
    _true(time.monotonic() - start < 10, "the answer should come soon after the time-out")
    _raises(ExecTimeout, lambda: sandbox.exec("sleep 60", 0.2, check=True))


@_behaviour
def a_time_out_kills_the_whole_tree(sandbox: Sandbox) -> None:
    tree = "sh -c 'sleep 300 & echo $!; sleep 300 & echo $!; wait' & echo $!; sleep 300 & echo $!; wait"
    pids = sandbox.exec(tree, 1).stdout.split()
    _same(len(pids), 4, "the number of processes that were started")
    _gone(sandbox, pids)


@_behaviour
def a_time_out_kills_what_ignores_sigterm(sandbox: Sandbox) -> None:
    pids = sandbox.exec("trap '' TERM; echo $$; sleep 300 & echo $!; while :; do sleep 1; done", 1).stdout.split()
    _same(len(pids), 2, "the number of processes that were started")
    _gone(sandbox, pids)


@_behaviour
def a_time_out_kills_what_left_its_session(sandbox: Sandbox) -> None:
    daemon = "(setsid sh -c 'echo $$; exec sleep 300' &) ; sleep 300"
    pids = sandbox.exec(daemon, 1).stdout.split()
    _same(len(pids), 1, "the number of daemons that were started")
    _gone(sandbox, pids)


@_behaviour
def a_command_that_ends_in_time_is_not_touched(sandbox: Sandbox) -> None:
    result = sandbox.exec("sleep 0.3; echo done", 30)
    _same((result.stdout, result.timed_out), ("done\n", False), "a command that ends in time")
    _true(0.2 < result.duration_sec < 20, f"its duration should be about 0.3 s: {result.duration_sec}")


# --- background children --------------------------------------------------------------------------------------------
@_behaviour
def a_background_child_does_not_hold_up_the_answer(sandbox: Sandbox) -> None:
    start = time.monotonic()
    result = sandbox.exec("sleep 20 & echo $!", 60)
    _true(time.monotonic() - start < 5, "the answer should not wait for the child that holds the pipe")
    pid = result.stdout.strip()
    _true(_is_alive(sandbox, pid), "the child should live on")
    sandbox.exec(f"kill {pid}")


@_behaviour
def a_background_child_may_go_on_writing(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        command = f"(sleep 0.5; seq 1 50000; echo survived > {scratch}/proof) & echo started"
        _same(sandbox.exec(command).stdout, "started\n", "the output of the command itself")
        wait_until(
            lambda: "proof" in sandbox.list_files(scratch) or None, deadline=15, what="the child's survival of its pipe"
        )


@_behaviour
def a_spawned_process_can_be_talked_to(sandbox: Sandbox) -> None:
    process = sandbox.spawn("while read line; do echo got $line; echo aside >&2; done; exit 7")
    _same(process.poll(), None, "the code of a process that runs")
    process.write("one\n")
    _same(_read_until(process, b"got one\n"), b"got one\n", "its answer")
    process.write(b"two\n", end=True)
    result = process.wait(20)
    _same((result.return_code, result.stdout), (7, "got one\ngot two\n"), "its end, with all that it said")
    _same(process.read_stderr(), b"aside\naside\n", "its stderr")
    _same(process.poll(), 7, "its code")


@_behaviour
def a_spawned_process_can_be_signalled_and_killed(sandbox: Sandbox) -> None:
    process = sandbox.spawn("trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.1; done")
    _read_until(process, b"ready\n")
    process.signal(10)
    _same(process.wait(20).return_code, 5, "the code after a caught signal")
    process = sandbox.spawn("sleep 300 & echo $!; wait")
    child = _read_until(process, b"\n").decode().strip()
    process.kill()
    _same(process.wait(20).return_code, 137, "the code after kill()")
    _gone(sandbox, [child])


# --- files ----------------------------------------------------------------------------------------------------------
@_behaviour
def files_of_all_sizes_go_there_and_back(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        for size in (0, 1, 511, 512, 4096, 65536, 262144, 262145, 5 * _MIB + 3):
            _round_trip(sandbox, scratch, local, size)


@_large_behaviour
def a_file_of_a_gibibyte_goes_there_and_back(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        _round_trip(sandbox, scratch, local, 1024 * _MIB)


@_behaviour
def mode_and_time_travel_with_a_file(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        script = local / "script"
        script.write_text("#!/bin/sh\necho ran\n")
        script.chmod(0o750)
        os.utime(script, (1_600_000_000, 1_600_000_000))
        sandbox.upload(script, f"{scratch}/script")
        _same(sandbox.exec([f"{scratch}/script"]).stdout, "ran\n", "the output of the uploaded program")
        sandbox.download(f"{scratch}/script", local / "back")
        status = (local / "back").stat()
        _same((status.st_mode & 0o777, int(status.st_mtime)), (0o750, 1_600_000_000), "mode and time after the trip")


@_behaviour
def missing_parents_are_made(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/a/b/c/file", b"deep")
        _same(sandbox.read_file(f"{scratch}/a/b/c/file"), b"deep", "a file under new directories")


@_behaviour
def a_file_is_replaced_as_a_whole(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        path = f"{scratch}/file"
        sandbox.write_file(path, b"old" * 1000)
        sandbox.exec(["chmod", "640", path], check=True)
        sandbox.write_file(path, b"new")
        _same(sandbox.read_file(path), b"new", "the content after the second write")
        _same(sandbox.exec(f"ls -l {path} | cut -c1-10").stdout, "-rw-r-----\n", "the mode that it had")
        _same(sandbox.list_files(scratch), ["file"], "all that is left in the directory")


@_behaviour
def a_reader_never_sees_half_a_file(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        path, size = f"{scratch}/file", 2 * _MIB
        sandbox.write_file(path, b"a" * size)
        look = f"i=0; while [ $i -lt 60 ]; do cat {path} | tr -d '\\n' | wc -c; i=$((i+1)); done"
        sizes: list[str] = []
        reader = threading.Thread(target=lambda: sizes.extend(sandbox.exec(look).stdout.split()))
        reader.start()
        while reader.is_alive():
            sandbox.write_file(path, b"b" * size)
        reader.join()
        _same(set(sizes), {str(size)}, "the sizes that a reader saw")


@_behaviour
def names_may_be_odd(sandbox: Sandbox) -> None:
    odd = ["with space", "quote'\"", "new\nline", "ünï-世界", "-dash", "*?[x]", "$(id)", "back\\slash", "x" * 250]
    with _scratch(sandbox) as scratch, _local() as local:
        for name in odd:
            sandbox.write_file(f"{scratch}/{name}", name)
            _same(sandbox.read_file(f"{scratch}/{name}").decode(), name, f"the content of {name!r}")
        _same(sandbox.list_files(scratch), sorted(odd, key=str.encode), "the listing")
        sandbox.download(scratch, local / "tree")
        _same(sorted(path.name for path in (local / "tree").iterdir()), sorted(odd), "the names after a download")


@_behaviour
def a_missing_path_is_a_file_not_found(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        missing = f"{scratch}/missing"
        for act in (
            lambda: sandbox.read_file(missing),
            lambda: sandbox.list_files(missing),
            lambda: sandbox.download(missing, local / "nothing"),
        ):
            error = _raises(FileNotFoundError, act)
            _true("missing" in str(error), f"the error should name the path: {error}")
        _same(list(local.iterdir()), [], "what a failed download leaves here")
        _raises(FileNotFoundError, lambda: sandbox.upload(local / "none", f"{scratch}/none"))


@_behaviour
def a_directory_is_no_file(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        _raises(RemoteIsADirectory, lambda: sandbox.read_file(scratch))
        _raises(RemoteIsADirectory, lambda: sandbox.write_file(scratch, b"x"))
        sandbox.write_file(f"{scratch}/file", b"x")
        _raises(SandboxError, lambda: sandbox.list_files(f"{scratch}/file"))
        _raises(SandboxError, lambda: sandbox.write_file(f"{scratch}/file/below", b"x"))


@_behaviour
def a_path_that_may_not_be_touched_is_a_permission_error(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/closed/secret", b"x")
        sandbox.exec(f"chmod 000 {scratch}/closed", check=True)
        if _has_other_users(sandbox):
            result = sandbox.exec(f"cat {scratch}/closed/secret", user="12345")
            _true(not result.ok and "ermission" in result.stderr, f"another user should be refused: {result}")
        elif not _is_root(sandbox):
            _raises(PermissionError, lambda: sandbox.read_file(f"{scratch}/closed/secret"))
            _raises(PermissionError, lambda: sandbox.write_file(f"{scratch}/closed/new", b"x"))
        sandbox.exec(f"chmod 700 {scratch}/closed")


@_behaviour
def a_path_with_a_nul_is_refused(sandbox: Sandbox) -> None:
    for act in (lambda: sandbox.read_file("/tmp/a\0b"), lambda: sandbox.exec("echo a\0b")):
        _raises((ValueError, SandboxError), act)
    _same(sandbox.exec("echo alive").stdout, "alive\n", "the next command")


# --- directories ----------------------------------------------------------------------------------------------------
@_behaviour
def a_directory_goes_there_and_back(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        tree = local / "tree"
        (tree / "sub" / "empty").mkdir(parents=True)
        (tree / "top.txt").write_text("top")
        (tree / "sub" / "run.sh").write_text("#!/bin/sh\necho ran\n")
        (tree / "sub" / "run.sh").chmod(0o755)
        (tree / "link").symlink_to("sub/run.sh")
        sandbox.upload(tree, f"{scratch}/tree")
        _same(sandbox.exec([f"{scratch}/tree/link"]).stdout, "ran\n", "a program behind a link in the uploaded tree")
        sandbox.download(f"{scratch}/tree", local / "back")
        _same(_picture(local / "back"), _picture(tree), "the tree after the trip")


@_behaviour
def a_directory_is_merged_into_one_that_exists(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        sandbox.write_file(f"{scratch}/tree/kept", b"kept")
        sandbox.write_file(f"{scratch}/tree/changed", b"old")
        (local / "changed").write_text("new")
        (local / "added").write_text("added")
        sandbox.upload(local, f"{scratch}/tree")
        _same(sandbox.list_files(f"{scratch}/tree"), ["added", "changed", "kept"], "the names after the merge")
        _same(sandbox.read_file(f"{scratch}/tree/changed"), b"new", "the file that was in both")


@_behaviour
def many_small_files_travel_as_one(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        for number in range(1000):
            (local / f"file-{number:04}").write_bytes(b"%d" % number * 300)
        sandbox.upload(local, f"{scratch}/many")
        _same(sandbox.exec(f"ls {scratch}/many | wc -l").stdout.strip(), "1000", "the number of files there")
        with _local() as back:
            sandbox.download(f"{scratch}/many", back / "many")
            _same(_picture(back / "many"), _picture(local), "the files after the trip")


@_behaviour
def a_link_out_of_the_tree_is_refused_and_nothing_changes(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch, _local() as local:
        (local / "aaa").write_text("fine by itself")
        (local / "evil").symlink_to("../../../etc/passwd")
        _raises(UnsafeArchiveError, lambda: sandbox.upload(local, f"{scratch}/tree"))
        _same(sandbox.list_files(scratch), [], "what a refused upload leaves there")
        sandbox.exec(f"mkdir {scratch}/out; echo x > {scratch}/out/a; ln -s /etc/passwd {scratch}/out/b", check=True)
        with _local() as back:
            _raises(UnsafeArchiveError, lambda: sandbox.download(f"{scratch}/out", back / "out"))
            _same(list(back.iterdir()), [], "what a refused download leaves here")


# --- many at once ---------------------------------------------------------------------------------------------------
@_behaviour
def a_long_command_delays_no_other(sandbox: Sandbox) -> None:
    sleeper = sandbox.spawn("sleep 60")
    start = time.monotonic()
    for _ in range(5):
        sandbox.exec("true")
    _true(time.monotonic() - start < 10, "five short commands should not wait for a long one")
    sleeper.kill()


@_behaviour
def many_commands_at_once_do_not_mix(sandbox: Sandbox) -> None:
    def one(number: int) -> None:
        result = sandbox.exec(f"echo out-{number}; echo err-{number} >&2; exit {number % 100}")
        seen = (result.stdout, result.stderr, result.return_code)
        _same(seen, (f"out-{number}\n", f"err-{number}\n", number % 100), f"command {number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))


@_behaviour
def commands_and_files_share_the_way(sandbox: Sandbox) -> None:
    with _scratch(sandbox) as scratch:
        content = random.Random(3).randbytes(2 * _MIB)

        def one(number: int) -> None:
            sandbox.write_file(f"{scratch}/{number}", content)
            _same(sandbox.exec(f"wc -c < {scratch}/{number}").stdout.strip(), str(len(content)), f"file {number}")
            _same_bytes(sandbox.read_file(f"{scratch}/{number}"), content, f"file {number}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(16)))


BEHAVIOURS = tuple(_everyday)
LARGE_BEHAVIOURS = tuple(_large)


# --- how the checks look at things ----------------------------------------------------------------------------------
def _same(seen: object, wanted: object, what: str) -> None:
    if seen != wanted:
        raise AssertionError(f"{what}: expected {_short(wanted)}, and it was {_short(seen)}")


def _same_bytes(seen: bytes, wanted: bytes, what: str) -> None:
    """Without a megabyte of them in the message."""
    if seen != wanted:
        differs = next((i for i, (a, b) in enumerate(zip(seen, wanted, strict=False)) if a != b), "the end")
        raise AssertionError(f"{what}: {len(wanted)} bytes expected, {len(seen)} came; they differ at {differs}")


def _true(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def _raises(kind: type[BaseException] | tuple[type[BaseException], ...], act: Callable[[], object]) -> Any:
    try:
        returned = act()
    except kind as error:
        return error
    raise AssertionError(f"{kind} expected, and it returned {_short(returned)}")


def _short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 1000 else f"{text[:500]} … {text[-300:]}"


@contextmanager
def _scratch(sandbox: Sandbox) -> Iterator[str]:
    """A directory there, for one check."""
    path = sandbox.exec("mktemp -d /tmp/conformance.XXXXXX", check=True).stdout.strip()
    try:
        yield path
    finally:
        sandbox.exec(["rm", "-rf", path])


@contextmanager
def _local() -> Iterator[Path]:
    """A directory here."""
    path = Path(tempfile.mkdtemp(prefix="conformance-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def _round_trip(sandbox: Sandbox, scratch: str, local: Path, size: int) -> None:
    source, back = local / f"source-{size}", local / f"back-{size}"
    _write_random(source, size)
    sandbox.upload(source, f"{scratch}/file-{size}")
    _same(sandbox.exec(f"wc -c < {scratch}/file-{size}").stdout.strip(), str(size), "the size there")
    sandbox.download(f"{scratch}/file-{size}", back)
    with source.open("rb") as one, back.open("rb") as other:
        while block := one.read(_MIB):
            _same_bytes(other.read(_MIB), block, f"a file of {size} bytes after the trip")
        _same(other.read(1), b"", "what lies beyond its end")


def _write_random(path: Path, size: int) -> None:
    block = random.Random(size).randbytes(min(size, _MIB))
    with path.open("wb") as file:
        while size:
            size -= file.write(block[:size])


def _picture(tree: Path) -> dict[str, object]:
    """All that matters of a tree: names, kinds, modes, contents."""
    picture: dict[str, object] = {}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_symlink():
            picture[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            picture[name] = ("directory", path.stat().st_mode & 0o777)
        else:
            picture[name] = ("file", path.stat().st_mode & 0o777, path.read_bytes())
    return picture


def _is_root(sandbox: Sandbox) -> bool:
    return bool(sandbox.exec("id -u").stdout == "0\n")


def _has_other_users(sandbox: Sandbox) -> bool:
    """Root may become anybody, but in the tasks of an engine without root there is nobody else."""
    ranges = [line.split() for line in sandbox.exec("cat /proc/self/uid_map").stdout.splitlines()]
    return _is_root(sandbox) and any(int(first) <= 12345 < int(first) + int(count) for first, _, count in ranges)


def _is_alive(sandbox: Sandbox, pid: str) -> bool:
    """Not a zombie: those are dead, and only wait for their parent to look."""
    return bool(sandbox.exec(f"grep -q '^State:.*[RSDT] ' /proc/{pid}/status").ok)


def _gone(sandbox: Sandbox, pids: list[str]) -> None:
    def nobody() -> bool | None:
        return None if any(_is_alive(sandbox, pid) for pid in pids) else True

    wait_until(nobody, deadline=5, what=f"the end of all of the processes {pids}")


def _read_until(process: Any, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        more = process.read(timeout=10)
        _true(bool(more), f"{mark!r} should have come, and only {said!r} did")
        said += more
    return said
