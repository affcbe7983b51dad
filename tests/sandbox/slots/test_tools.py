"""The tools of a slot, one by one, in batches, and over HTTP."""

from __future__ import annotations

import base64
import contextlib
import io
import json
import socket
import tarfile
import threading
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolRequest, ToolResult
from pytest_fargate_sandbox.server.requests.guests import MAX_STRANGERS
from tests.sandbox.slots.tool_rows import ROWS, Caller, table

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.slots.slot_service import SlotService

PAGE = Path(__file__).parents[3] / "docs" / "slots.md"


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.tool}: {row.name}: {row.meaning}")
def test_what_the_table_says_holds(slot: Slot, row: Any) -> None:
    assert row.holds(Caller(slot))


def test_the_page_has_this_table() -> None:
    assert table() in PAGE.read_text()


def test_a_tool_that_is_none_and_arguments_that_are_none_are_results(slot: Slot) -> None:
    assert slot.tool("dance", {}, execution_id="x").to_dict() == {
        "success": False,
        "output": "",
        "error": "Unknown tool: dance",
        "execution_id": "x",
        "metadata": {},
    }
    assert slot.tool("bash", {"command": "a\0b"}).error.startswith("bash: ")
    assert slot.tool("bash", "ls").error == "bash: arguments are a mapping of names to values, not 'ls'"  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("tool", "args", "said"),
    [
        ("bash", {"command": "true", "timeout": 10**400}, "bash: timeout=1000"),
        ("tmux", {"action": "start", "pane_width": float("inf")}, ""),
        ("tmux", {"action": "stream", "max_bytes": float("inf")}, ""),
        ("tmux", {"action": "send_keys", "keys": "a", "min_wait_s": 10**400}, "tmux: int too large"),
    ],
)
def test_numbers_without_end_are_results(slot: Slot, tool: str, args: dict[str, Any], said: str) -> None:
    done = slot.tool(tool, args, args.get("timeout", 30.0))
    assert done.error.startswith(said)
    assert done.success is not bool(said)


def test_a_shell_that_was_told_to_end_is_followed_by_another(slot: Slot) -> None:
    slot.tool("tmux", {"action": "send_keys", "keys": ["exit", "Enter"]})
    assert slot.tool("bash_stateful", {"command": "echo again"}).output == "again"


def test_a_call_with_an_id_is_carried_out_once(slot: Slot) -> None:
    first, again = (slot.tool("bash", {"command": "echo x >>log; wc -l <log"}, execution_id="one") for _ in range(2))
    assert first == again
    assert slot.tool("bash", {"command": "wc -l <log"}, execution_id="one").output == "1"
    slot.reset()
    assert slot.tool("bash", {"command": "echo x >>log; wc -l <log"}, execution_id="one").output == "1"


def test_a_batch_runs_slots_side_by_side_and_each_in_its_order(
    machine: EcsFargateSandbox, slot: Slot, neighbour: Slot
) -> None:
    gone = machine.lease_slot()
    gone.give_back()
    began = time.monotonic()
    results = machine.batch(
        [
            (slot, "sleep 0.5; echo a >order; echo first"),
            (neighbour, "sleep 0.5; echo second"),
            (slot, "cat order"),
            (gone, "true"),
            ToolRequest(neighbour, "bash", {"command": "sleep 60"}, timeout=0.1, execution_id="short"),
        ]
    )
    assert time.monotonic() - began < 5
    said = [each.output if isinstance(each, ToolResult) else str(each) for each in results]
    assert said == ["first", "second", "a", f"slot {gone.number} was given back", ""]
    assert (results[4].execution_id, results[4].metadata["timeout"]) == ("short", True)  # type: ignore[union-attr]
    with pytest.raises(TypeError, match=r"expected \(slot, command\)"):
        machine.batch([("slot", "true")])


@pytest.fixture(scope="module")
def service(machine: EcsFargateSandbox) -> Iterator[SlotService]:
    slots = machine.slots(2)
    with machine.serve(slots=2) as service:
        yield service
    for slot in slots:
        slot.give_back()


def ask(service: SlotService, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
    data = body if isinstance(body, bytes) else None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(service.url + path, data)
    request.add_header("Authorization", f"Bearer {service.token if token is None else token}")
    try:
        with urllib.request.urlopen(request, timeout=60) as answer:
            return answer.status, json.load(answer)
    except urllib.error.HTTPError as error:
        return error.code, json.load(error)


def test_over_http_a_tool_is_called_as_it_is_here(service: SlotService) -> None:
    call = {"slot_id": "slot_0", "tool": "bash", "args": {"command": "echo hi"}, "execution_id": "e", "timeout": 9}
    status, done = ask(service, "/execute", call)
    assert (status, done["success"], done["output"], done["execution_id"]) == (200, True, "hi", "e")
    assert ask(service, "/execute", {**call, "slot_id": "slot_9"})[1]["error"] == "Unknown slot: slot_9"
    status, both = ask(service, "/batch", [call, {"slot_id": "nowhere"}, {**call, "slot_id": "slot_1"}])
    assert (status, [each["output"] for each in both]) == (200, ["hi", "", "hi"])


def test_over_http_slots_are_listed_reset_and_told_to_be_well(service: SlotService) -> None:
    ask(service, "/execute", {"slot_id": "slot_0", "tool": "write_file", "args": {"path": "x", "content": "x"}})
    assert ask(service, "/reset", {"slot_id": "slot_0"})[1]["output"] == "Reset workspace for slot_0"
    listed = ask(service, "/execute", {"slot_id": "slot_0", "tool": "bash", "args": {"command": "ls -A"}})[1]
    assert listed["output"] == ""
    health, slots = ask(service, "/health")[1], ask(service, "/slots")[1]["slots"]
    assert (health["status"], health["executing"], health["isolation"]) == ("ok", 0, "user")
    assert [(each["slot_id"], each["state"]) for each in slots] == [("slot_0", "available"), ("slot_1", "available")]


def test_over_http_those_without_the_token_keep_nobody_out_and_take_little(service: SlotService) -> None:
    before = threading.active_count()
    with contextlib.ExitStack() as crowd:
        for _ in range(300):
            crowd.enter_context(socket.create_connection(("127.0.0.1", service.port)))
        assert ask(service, "/health")[1]["status"] == "ok"
        assert threading.active_count() - before < 1.5 * MAX_STRANGERS
    assert ask(service, "/health")[1]["status"] == "ok"


def test_over_http_artifacts_are_read_listed_and_packed(service: SlotService) -> None:
    slot = {"slot_id": "slot_0"}
    ask(service, "/reset", slot)
    ask(service, "/execute", {**slot, "tool": "write_file", "args": {"path": "d/x.txt", "content": "text"}})
    ask(service, "/execute", {**slot, "tool": "bash", "args": {"command": "ln -s /etc/passwd out"}})
    status, read = ask(service, "/artifacts/read", {**slot, "path": "d/x.txt", "max_bytes": 3, "include_sha256": True})
    assert (status, read["content"], read["truncated"], read["bytes"], read["file_size"]) == (200, "tex", True, 3, 4)
    assert (read["path"], read["mime"], len(read["sha256"])) == ("d/x.txt", "text/plain", 64)
    listed = ask(service, "/artifacts/list", {**slot, "path": "d"})[1]
    assert ([each["path"] for each in listed["entries"]], listed["truncated"]) == (["d/x.txt"], False)
    packed = ask(service, "/artifacts/archive", {**slot, "path": "d"})[1]
    with tarfile.open(fileobj=io.BytesIO(base64.b64decode(packed["content"]))) as archive:
        assert "x.txt" in archive.getnames()[-1]
    assert packed["bytes"] > 0
    for path, expected in (("out", 403), ("../../x", 403), ("none", 404), ("d", 400)):
        assert ask(service, "/artifacts/read", {**slot, "path": path})[0] == expected, path
    assert ask(service, "/artifacts/archive", {**slot, "path": "d", "max_bytes": 1})[0] == 413
    assert ask(service, "/artifacts/read", {"slot_id": "slot_7", "path": "d"})[0] == 404


@pytest.mark.parametrize(
    ("path", "body", "status", "error"),
    [
        ("/execute", b"{", 400, "Invalid JSON"),
        ("/execute", b"[" * 200_000, 400, "Invalid JSON"),
        ("/execute", {"slot_id": "slot_0", "timeout": 10**400}, 400, "int too large"),
        ("/artifacts/read", {"slot_id": "slot_0", "max_bytes": float("inf")}, 400, "cannot convert float infinity"),
        ("/execute", [], 400, "expected an object"),
        ("/batch", {}, 400, "Expected array of requests"),
        ("/execute", {"slot_id": "slot_0", "tool": "bash", "timeout": "soon"}, 400, "could not convert"),
        ("/dance", {}, 404, "there is no POST /dance"),
        ("/dance", None, 404, "there is no GET /dance"),
    ],
)
def test_over_http_what_is_wrong_is_said(service: SlotService, path: str, body: Any, status: int, error: str) -> None:
    code, answer = ask(service, path, body)
    assert (code, answer["success"]) == (status, False)
    assert error in answer["error"]


@pytest.mark.parametrize("length", ["-1", "9" * 5000, "\u00b2"], ids=["negative", "long", "superscript"])
def test_over_http_a_length_that_is_none_is_refused(service: SlotService, length: str) -> None:
    with socket.create_connection(("127.0.0.1", service.port), 10) as connection:
        head = f"POST /execute HTTP/1.1\r\nAuthorization: Bearer {service.token}\r\nContent-Length: {length}\r\n\r\n"
        connection.sendall(head.encode("latin-1"))
        assert connection.recv(100).startswith(b"HTTP/1.1 413 ")


def test_over_http_an_address_is_enough_for_a_client_that_knows_no_more(service: SlotService) -> None:
    credentials = service.address.partition("//")[2].partition("@")[0]
    request = urllib.request.Request(service.url + "/health")
    request.add_header("Authorization", f"Basic {base64.b64encode(credentials.encode()).decode()}")
    with urllib.request.urlopen(request, timeout=60) as answer:
        assert json.load(answer)["status"] == "ok"


@pytest.mark.parametrize("token", ["", "wrong", "ünlike"])
def test_over_http_who_has_no_token_gets_nothing(service: SlotService, token: str) -> None:
    assert ask(service, "/health", token=token)[0] == 401
    assert ask(service, "/execute", {"slot_id": "slot_0", "tool": "bash", "args": {"command": "id"}}, token)[0] == 401
