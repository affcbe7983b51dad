"""Time-outs and their process trees, background children, spawned processes."""

from __future__ import annotations

import threading
import time

from pytest_fargate_sandbox.conformance.behaviour import Sandbox, behaviour
from pytest_fargate_sandbox.conformance.looking import gone, is_alive, raises, read_until, same, scratch_there, true
from pytest_fargate_sandbox.leaves.errors import Cancelled, ExecTimeout
from pytest_fargate_sandbox.leaves.waiting import wait_until


# --- time -----------------------------------------------------------------------------------------------------------
@behaviour
def a_time_out_keeps_the_output_and_says_so(sandbox: Sandbox) -> None:
    start = time.monotonic()
    result = sandbox.exec("echo before; echo warning >&2; sleep 60; echo after", 1)
    same((result.return_code, result.timed_out), (124, True), "the code and the flag")
    same((result.stdout, result.stderr), ("before\n", "warning\n"), "the output up to then")
    true(time.monotonic() - start < 10, "the answer should come soon after the time-out")
    raises(ExecTimeout, lambda: sandbox.exec("sleep 60", 0.2, check=True))


@behaviour
def a_time_out_kills_the_whole_tree(sandbox: Sandbox) -> None:
    tree = "sh -c 'sleep 300 & echo $!; sleep 300 & echo $!; wait' & echo $!; sleep 300 & echo $!; wait"
    pids = sandbox.exec(tree, 1).stdout.split()
    same(len(pids), 4, "the number of processes that were started")
    gone(sandbox, pids)


@behaviour
def a_time_out_kills_what_ignores_sigterm(sandbox: Sandbox) -> None:
    pids = sandbox.exec("trap '' TERM; echo $$; sleep 300 & echo $!; while :; do sleep 1; done", 1).stdout.split()
    same(len(pids), 2, "the number of processes that were started")
    gone(sandbox, pids)


@behaviour
def a_time_out_kills_what_left_its_session(sandbox: Sandbox) -> None:
    daemon = "(setsid sh -c 'echo $$; exec sleep 300' &) ; sleep 300"
    pids = sandbox.exec(daemon, 1).stdout.split()
    same(len(pids), 1, "the number of daemons that were started")
    gone(sandbox, pids)


@behaviour
def a_command_that_ends_in_time_is_not_touched(sandbox: Sandbox) -> None:
    result = sandbox.exec("sleep 0.3; echo done", 30)
    same((result.stdout, result.timed_out), ("done\n", False), "a command that ends in time")
    true(0.2 < result.duration_sec < 20, f"its duration should be about 0.3 s: {result.duration_sec}")


@behaviour
def a_command_is_cancelled_with_its_whole_tree(sandbox: Sandbox) -> None:
    cancel, heard = threading.Event(), threading.Event()
    pids: list[str] = []

    def on_output(chunk: bytes) -> None:
        pids.extend(chunk.decode().split())
        heard.set()

    def cancel_it() -> None:
        heard.wait(30)
        cancel.set()

    threading.Thread(target=cancel_it, daemon=True).start()
    tree = "trap '' TERM; sleep 300 & echo $$ $!; while :; do sleep 1; done"
    start = time.monotonic()
    raises(Cancelled, lambda: sandbox.exec(tree, 60, cancel=cancel, on_output=on_output))
    true(time.monotonic() - start < 10, "a cancelled command should come back soon")
    gone(sandbox, pids)
    raises(Cancelled, lambda: sandbox.exec("sleep 60", cancel=cancel))
    same(sandbox.exec("echo on", cancel=threading.Event()).stdout, "on\n", "a command that nobody cancels")


# --- background children --------------------------------------------------------------------------------------------
@behaviour
def a_background_child_does_not_hold_up_the_answer(sandbox: Sandbox) -> None:
    start = time.monotonic()
    result = sandbox.exec("sleep 20 & echo $!", 60)
    true(time.monotonic() - start < 5, "the answer should not wait for the child that holds the pipe")
    pid = result.stdout.strip()
    true(is_alive(sandbox, pid), "the child should live on")
    sandbox.exec(f"kill {pid}")


@behaviour
def a_background_child_may_go_on_writing(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        command = f"(sleep 0.5; seq 1 50000; echo survived > {scratch}/proof) & echo started"
        same(sandbox.exec(command).stdout, "started\n", "the output of the command itself")
        wait_until(
            lambda: "proof" in sandbox.list_files(scratch) or None, deadline=15, what="the child's survival of its pipe"
        )


@behaviour
def a_spawned_process_can_be_talked_to(sandbox: Sandbox) -> None:
    process = sandbox.spawn("while read line; do echo got $line; echo aside >&2; done; exit 7")
    same(process.poll(), None, "the code of a process that runs")
    process.write("one\n")
    same(read_until(process, b"got one\n"), b"got one\n", "its answer")
    process.write(b"two\n", end=True)
    result = process.wait(20)
    same((result.return_code, result.stdout), (7, "got one\ngot two\n"), "its end, with all that it said")
    same(process.read_stderr(), b"aside\naside\n", "its stderr")
    same(process.poll(), 7, "its code")


@behaviour
def a_spawned_process_can_be_signalled_and_killed(sandbox: Sandbox) -> None:
    process = sandbox.spawn("trap 'echo caught; exit 5' USR1; echo ready; while :; do sleep 0.1; done")
    read_until(process, b"ready\n")
    process.signal(10)
    same(process.wait(20).return_code, 5, "the code after a caught signal")
    process = sandbox.spawn("sleep 300 & echo $!; wait")
    child = read_until(process, b"\n").decode().strip()
    process.kill()
    same(process.wait(20).return_code, 137, "the code after kill()")
    gone(sandbox, [child])


@behaviour
def a_spawned_process_gets_its_stdin_and_tells_its_output(sandbox: Sandbox) -> None:
    told: list[tuple[str, bytes]] = []
    content = bytes(range(256)) * 4096
    process = sandbox.spawn(
        "cat; echo done >&2", stdin=content, on_output=lambda chunk: told.append((chunk.stream, bytes(chunk)))
    )
    result = process.wait(60)
    same((result.return_code, result.stdout_bytes, result.stderr), (0, content, "done\n"), "its end")
    same(b"".join(data for stream, data in told if stream == "stdout"), content, "what was told of its stdout")
    same(b"".join(data for stream, data in told if stream == "stderr"), b"done\n", "what was told of its stderr")


@behaviour
def a_spawned_process_is_held_to_its_time_and_its_output_to_its_bound(sandbox: Sandbox) -> None:
    result = sandbox.spawn("printf 123456; sleep 300 & sleep 300", timeout_sec=0.5, max_output_bytes=4).wait(30)
    same((result.timed_out, result.return_code), (True, 124), "what became of it")
    same((result.stdout, result.truncated), ("1234", True), "so much of its output as was wanted")

    def refuse(_chunk: bytes) -> None:
        raise ArithmeticError

    raises(ArithmeticError, lambda: sandbox.spawn("echo; sleep 300", on_output=refuse).wait(30))
