"""Exit codes, streams, stdin, environment, users, and commands of any length."""

from __future__ import annotations

import random
import time
from functools import partial
from typing import Any

from pytest_fargate_sandbox.conformance.behaviour import Sandbox, behaviour
from pytest_fargate_sandbox.conformance.looking import (
    MIB,
    has_other_users,
    raises,
    same,
    same_bytes,
    scratch_there,
    true,
)
from pytest_fargate_sandbox.leaves.errors import ExecFailed, RemoteFileNotFound, RemotePermissionError, UnknownUser


# --- exit codes and signals -----------------------------------------------------------------------------------------
@behaviour
def an_exit_code_is_a_result(sandbox: Sandbox) -> None:
    for code in (0, 1, 2, 77, 255):
        same(sandbox.exec(f"exit {code}").return_code, code, f"the code of exit {code}")


@behaviour
def a_command_killed_by_a_signal_has_128_plus_its_number(sandbox: Sandbox) -> None:
    for name, number in (("TERM", 15), ("KILL", 9), ("SEGV", 11)):
        same(sandbox.exec(f"kill -{name} $$").return_code, 128 + number, f"the code after SIG{name}")


@behaviour
def a_missing_program_has_the_shells_code(sandbox: Sandbox) -> None:
    result = sandbox.exec("no-such-program-anywhere")
    same(result.return_code, 127, "the code of a missing program")
    true("not found" in result.stderr, f"stderr should say 'not found': {result.stderr!r}")
    true(not result.could_not_begin, "the shell began, and said what it could not find")
    result = sandbox.exec(["no-such-program-anywhere"])
    same((result.return_code, result.could_not_begin), (127, True), "the same without a shell")


@behaviour
def a_file_that_is_no_program_has_the_shells_code(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        sandbox.write_file(f"{scratch}/plain", b"text", mode=0o644)
        same(sandbox.exec([f"{scratch}/plain"]).return_code, 126, "the code of a file that cannot be executed")


@behaviour
def check_raises_for_a_failed_command(sandbox: Sandbox) -> None:
    error = raises(ExecFailed, lambda: sandbox.exec("echo why >&2; exit 9", check=True))
    same((error.return_code, error.stderr), (9, "why\n"), "what the error carries")


# --- streams --------------------------------------------------------------------------------------------------------
@behaviour
def stdout_and_stderr_stay_apart(sandbox: Sandbox) -> None:
    result = sandbox.exec("echo one; echo two >&2; echo three")
    same((result.stdout, result.stderr), ("one\nthree\n", "two\n"), "the two streams")


@behaviour
def silence_is_two_empty_streams(sandbox: Sandbox) -> None:
    result = sandbox.exec("true")
    same((result.stdout, result.stderr, result.ok), ("", "", True), "a silent command")


@behaviour
def every_byte_comes_back_as_it_was(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        content = bytes(range(256)) * 300 + b"\r\n\x00\xff"
        sandbox.write_file(f"{scratch}/bytes", content)
        same_bytes(sandbox.exec(f"cat {scratch}/bytes").stdout_bytes, content, "what cat says")


@behaviour
def text_is_unicode_and_broken_text_is_replaced(sandbox: Sandbox) -> None:
    sentence = "grüße, 世界, 🚀, e\u0301"
    same(sandbox.exec(f"printf %s '{sentence}'").stdout, sentence, "Unicode through a command line")
    result = sandbox.exec(r"printf 'a\377b'")
    same((result.stdout, result.stdout_bytes), ("a\ufffdb", b"a\xffb"), "a byte that is no UTF-8")


@behaviour
def a_hundred_megabytes_of_output_arrive_whole(sandbox: Sandbox) -> None:
    result = sandbox.exec("dd if=/dev/zero bs=1048576 count=100 2>/dev/null | tr '\\0' x; echo end", 300)
    same(len(result.stdout_bytes), 100 * MIB + 4, "the size of the output")
    true(result.stdout_bytes.endswith(b"xend\n"), "the output should end as it ended there")
    true(result.stdout_bytes.count(b"x") == 100 * MIB, "the output should be nothing but what was written")
    same(result.truncated, False, "truncated")


@behaviour
def both_streams_flow_at_once(sandbox: Sandbox) -> None:
    command = "i=0; while [ $i -lt 3000 ]; do echo out$i; echo err$i >&2; i=$((i+1)); done"
    result = sandbox.exec(command)
    same(result.stdout.splitlines(), [f"out{i}" for i in range(3000)], "stdout")
    same(result.stderr.splitlines(), [f"err{i}" for i in range(3000)], "stderr")


@behaviour
def output_arrives_while_the_command_runs(sandbox: Sandbox) -> None:
    arrivals: list[tuple[str, bytes, float]] = []
    start = time.monotonic()

    def note(chunk: Any) -> None:
        arrivals.append((chunk.stream, bytes(chunk), time.monotonic() - start))

    sandbox.exec("echo first; echo aside >&2; sleep 1.5; echo last", on_output=note)
    same(b"".join(data for stream, data, _ in arrivals if stream == "stdout"), b"first\nlast\n", "all of stdout")
    same(b"".join(data for stream, data, _ in arrivals if stream == "stderr"), b"aside\n", "all of stderr")
    true(arrivals[-1][2] - arrivals[0][2] > 0.5, f"the first words should come well before the last: {arrivals}")


@behaviour
def output_beyond_the_cap_lies_in_a_file(sandbox: Sandbox) -> None:
    result = sandbox.exec("seq 1 5000", max_output_bytes=1000)
    whole = "".join(f"{i}\n" for i in range(1, 5001)).encode()
    same((result.truncated, result.stdout_bytes), (True, whole[:1000]), "what came back")
    true(bool(result.stdout_spool), "the result should name the file with the rest")
    same_bytes(sandbox.read_file(result.stdout_spool), whole, "the whole output in the file")
    same(sandbox.exec("seq 1 10", max_output_bytes=1000).truncated, False, "truncated, with nothing over the cap")


# --- stdin ----------------------------------------------------------------------------------------------------------
@behaviour
def stdin_is_empty_unless_given(sandbox: Sandbox) -> None:
    same(sandbox.exec("cat; echo done", 20).stdout, "done\n", "cat without stdin")


@behaviour
def stdin_takes_text_and_bytes(sandbox: Sandbox) -> None:
    same(sandbox.exec("cat", stdin="grüße\n").stdout, "grüße\n", "text through cat")
    content = bytes(range(256)) * 4096
    same_bytes(sandbox.exec("cat", stdin=content).stdout_bytes, content, "a mebibyte through cat")


@behaviour
def a_large_stdin_streams(sandbox: Sandbox) -> None:
    content = random.Random(7).randbytes(8 * MIB)
    result = sandbox.exec("cat", stdin=content)
    same_bytes(result.stdout_bytes, content, "8 MiB through cat")


@behaviour
def a_command_need_not_read_its_stdin(sandbox: Sandbox) -> None:
    for size in (10, 3 * MIB):
        same(sandbox.exec("exit 3", 30, stdin=b"x" * size).return_code, 3, f"the code with {size} bytes unread")


# --- environment, directory, user -------------------------------------------------------------------------------------
@behaviour
def the_environment_takes_newlines_and_quotes(sandbox: Sandbox) -> None:
    value = "a 'single' \"double\" $HOME `id` \\ line\nnext\ttab = ünï"
    result = sandbox.exec('printf %s "$AWKWARD"', env={"AWKWARD": value})
    same(result.stdout, value, "the variable as the command sees it")
    same(sandbox.exec('printf %s "$AWKWARD"').stdout, "", "the variable in the next command")


@behaviour
def the_sandbox_tells_commands_no_secret_of_its_own(sandbox: Sandbox) -> None:
    same(sandbox.exec("env | grep -c FARGATE_SANDBOX").stdout, "0\n", "variables of the sandbox's own")


@behaviour
def a_command_runs_where_it_is_told(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        name = f"{scratch}/with space"
        sandbox.exec(["mkdir", name], check=True)
        same(sandbox.exec("pwd", cwd=name).stdout, name + "\n", "the working directory")
        error = raises(RemoteFileNotFound, lambda: sandbox.exec("pwd", cwd=f"{scratch}/missing"))
        true("missing" in str(error), f"the error should name the directory: {error}")


@behaviour
def a_list_is_run_without_a_shell(sandbox: Sandbox) -> None:
    result = sandbox.exec(["printf", "%s|", "$HOME", "a b", "", "*"])
    same(result.stdout, "$HOME|a b||*|", "arguments that a shell would have changed")


@behaviour
def a_command_can_run_as_another_user(sandbox: Sandbox) -> None:
    if not has_other_users(sandbox):
        error = raises(RemotePermissionError, lambda: sandbox.exec("id", user="12345"))
        true("root" in str(error), f"the error should say that this takes root: {error}")
        return
    same(sandbox.exec("id -u; id -g", user="12345").stdout, "12345\n12345\n", "a numeric user")
    same(sandbox.exec("id -u; id -g", user="12345:678").stdout, "12345\n678\n", "a numeric user and group")
    result = sandbox.exec("id -un; echo $HOME", user="root")
    same(result.stdout.splitlines()[0], "root", "a user by name")


@behaviour
def an_unknown_user_is_an_error(sandbox: Sandbox) -> None:
    for name in ("nobody-by-this-name", "²", "4294967295"):
        error = raises(UnknownUser, partial(sandbox.exec, "id", user=name))
        true(name in str(error), f"the error should name the user: {error}")


# --- long commands --------------------------------------------------------------------------------------------------
@behaviour
def a_very_long_command_works(sandbox: Sandbox) -> None:
    for size in (100_000, 300_000, 3_000_000):
        result = sandbox.exec(f"x='{'y' * size}'; echo ${{#x}}")
        same((result.stdout, result.stderr), (f"{size}\n", ""), f"a command of {size} characters")


@behaviour
def a_command_may_be_many_lines(sandbox: Sandbox) -> None:
    script = "for word in one two; do\n  echo $word\ndone\ncat <<'END'\n$literal 'quotes'\nEND\n"
    same(sandbox.exec(script).stdout, "one\ntwo\n$literal 'quotes'\n", "a script with a here-document")
