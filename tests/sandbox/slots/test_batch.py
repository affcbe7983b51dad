"""A batch travels in one request, and each of its commands runs once whatever happens to that."""

from __future__ import annotations

import shutil
import tempfile
import threading
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
from pytest_fargate_sandbox.sandbox.exec.limits import LIMITS
from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolRequest, ToolResult
from tests.components import need
from tests.exec_server_process import ExecServerProcess, LoopbackMachine, altered_source
from tests.fault_proxy import FaultProxy

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from pytest_fargate_sandbox.sandbox.exec.batch_run import BatchRun
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.server.slots.slot_protocol import SlotRun


@pytest.fixture(scope="module")
def server() -> Iterator[ExecServerProcess]:
    """Of a user's own, so that its slots are directories."""
    need("another user")
    directory = Path(tempfile.mkdtemp())
    directory.chmod(0o777)
    with altered_source(HEARTBEAT_SEC=1):
        server = ExecServerProcess(directory, "/usr/bin/python3", uid=20043)
    yield server
    server.close()
    shutil.rmtree(directory)


@pytest.fixture
def proxy(server: ExecServerProcess) -> Iterator[FaultProxy]:
    with FaultProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


@pytest.fixture
def far(server: ExecServerProcess, proxy: FaultProxy) -> Iterator[LoopbackMachine]:
    """Reached through the proxy."""
    limits = LIMITS._replace(breaks_sec=1.0, silence_sec=1.8)
    client = ExecClient(port=proxy.port, token=server.token, limits=limits)
    machine = LoopbackMachine(client)
    machine.open_slots(4)
    yield machine
    client.close()


@pytest.fixture
def slots(server: ExecServerProcess, far: LoopbackMachine) -> Iterator[list[Slot]]:
    slots = [far.lease_slot() for _ in range(3)]
    yield slots
    near = LoopbackMachine(server.client)
    for slot in slots:
        near.lease_slot(slot.number).give_back()


def said_by(results: list[ToolResult | SandboxError]) -> list[str]:
    return [each.output if isinstance(each, ToolResult) else str(each) for each in results]


def test_it_is_one_request_on_one_connection(far: LoopbackMachine, slots: list[Slot], proxy: FaultProxy) -> None:
    slots[0].exec("true")
    before = proxy.connections
    calls = [(slot, f"echo {number} >>log; cat log") for number in range(5) for slot in slots]
    results = far.batch(calls)
    assert proxy.connections == before
    assert said_by(results) == ["\n".join(map(str, range(number + 1))) for number in range(5) for _ in slots]
    assert [past.command for past in slots[1].history] == [command for slot, command in calls if slot is slots[1]]


@pytest.mark.parametrize("how", ["cut", "reset"])
def test_where_it_is_cut_each_command_runs_once_and_in_its_order(
    far: LoopbackMachine, slots: list[Slot], proxy: FaultProxy, how: str
) -> None:
    done = threading.Event()

    def strike() -> None:
        while not done.wait(0.15):
            getattr(proxy, how)()

    striker = threading.Thread(target=strike)
    striker.start()
    calls = [(slot, f"echo {number} >>log; sleep 0.02; seq {number}00") for number in range(20) for slot in slots]
    try:
        results = far.batch(calls)
    finally:
        done.set()
        striker.join()
    assert said_by(results) == ["\n".join(map(str, range(1, number * 100 + 1))) for number in range(20) for _ in slots]
    for slot in slots:
        assert slot.exec("cat log").stdout.split() == [str(number) for number in range(20)]
    assert proxy.connections > 3


def test_one_that_says_nothing_for_long_is_waited_for(far: LoopbackMachine, slots: list[Slot]) -> None:
    assert said_by(far.batch([(slots[0], "sleep 2.5; echo late"), (slots[1], "echo soon")])) == ["late", "soon"]


@pytest.mark.needs("pgrep")
def test_who_loses_his_slot_meanwhile_is_told_and_nobody_else_minds(
    server: ExecServerProcess, far: LoopbackMachine, slots: list[Slot], tmp_path: Path
) -> None:
    def take() -> None:
        wait_until(lambda: server.client.exec(["pgrep", "-f", "sleep 30.2"]).ok or None, deadline=20, what="it runs")
        LoopbackMachine(server.client).lease_slot(slots[0].number)

    taker = threading.Thread(target=take)
    taker.start()
    after = tmp_path / "after"
    results = far.batch([(slots[0], "sleep 30.2"), (slots[0], f"touch {after}"), (slots[1], "sleep 1; echo well")])
    taker.join()
    assert said_by(results)[2] == "well"
    for lost in results[:2]:
        assert isinstance(lost, SandboxError)
        assert "the slot was given back, or taken from its lease" in str(lost)
    assert not after.exists()


def test_where_there_is_no_way_any_more_nothing_is_begun(
    server: ExecServerProcess,
    far: LoopbackMachine,
    slots: list[Slot],
    proxy: FaultProxy,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    home = slots[0].home
    client = far.running().mode.client(None)
    run_many = client.run_many
    runs: list[BatchRun] = []

    def seen(requests: Sequence[SlotRun]) -> BatchRun:
        runs.append(run_many(requests))
        return runs[0]

    monkeypatch.setattr(client, "run_many", seen)

    def leave() -> None:
        wait_until(lambda: server.client.exists(f"{home}/runs") or None, deadline=60, what="it runs")
        wait_until(lambda: 0 in runs[0].outcomes or None, deadline=60, what="the other slot's answer")
        proxy.refuse()
        proxy.cut()
        server.client.write_file(f"{home}/go", b"")

    leaver = threading.Thread(target=leave)
    leaver.start()
    first = ": >runs; until [ -e go ]; do sleep 0.05; done; echo first >>log"
    results = far.batch([(slots[1], "echo told"), (slots[0], first), (slots[0], "echo second >>log")])
    leaver.join()
    assert said_by(results)[0] == "told"
    assert all(isinstance(each, SandboxError) for each in results[1:]), results
    wait_until(lambda: server.client.exists(f"{home}/log") or None, deadline=20, what="its end")
    assert server.client.exec(f"sleep 0.2; cat {home}/log").stdout == "first\n"


def test_what_is_asked_for_wrongly_is_a_result_of_its_own(far: LoopbackMachine, slots: list[Slot]) -> None:
    results = far.batch(
        [
            (slots[0], ""),
            (slots[0], "echo \0"),
            (slots[0], "sleep 9", -1),
            ToolRequest(slots[0], "bash", {"command": "id", "require_sandbox": True}),
            (slots[0], "exit 3"),
            (slots[0], "sleep 9", 0.2),
        ]
    )
    told = [each for each in results if isinstance(each, ToolResult) and not each.success]
    assert [each.error.partition(" in it")[0] for each in told] == [
        "bash: the command is empty",
        "bash: command='echo \\x00' has a NUL byte",
        "bash: timeout=-1: expected a number of seconds, 0 or more",
        "Sandboxing required, but slots of this machine have isolation 'none'",
        "Exit code: 3",
        "Command timed out after 0.2s",
    ]


def test_a_call_with_an_id_is_carried_out_once_in_any_batch(far: LoopbackMachine, slots: list[Slot]) -> None:
    def call(name: str) -> ToolRequest:
        return ToolRequest(slots[0], "bash", {"command": "echo x >>log; wc -l <log"}, execution_id=name)

    assert said_by(far.batch([call("one"), call("two")])) == ["1", "2"]
    assert said_by(far.batch([call("two"), call("one"), call("three"), call("three")])) == ["2", "1", "3", "3"]
