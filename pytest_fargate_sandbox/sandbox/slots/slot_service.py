"""The slots of a machine over HTTP, on our loopback, for harnesses that talk to a server of tools.

Whoever has the token, as a bearer's or as a password, may use all of them. What a tool met is an answer of status 200;
what is wrong with a request is 4xx; trouble of the sandbox is 502.
"""

from __future__ import annotations

import base64
import json
import re
import secrets
import sys
import threading
from functools import partial
from hmac import compare_digest
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fargate_sandbox.leaves.errors import RemoteFileError, SandboxError
from pytest_fargate_sandbox.sandbox.slots import service_artifacts
from pytest_fargate_sandbox.sandbox.slots.service_refusal import Refused
from pytest_fargate_sandbox.sandbox.slots.slot_batch import batch
from pytest_fargate_sandbox.sandbox.slots.tool_result import DEFAULT_TIMEOUT_SEC, ToolRequest, ToolResult
from pytest_fargate_sandbox.server.requests.guests import MAX_KNOWN, Guests

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from typing_extensions import Self

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

_LONGEST_BODY = 32 * 1024 * 1024
_LENGTH = re.compile("[0-9]{1,9}")
_IDLE_SEC = 300.0
_USER = "slots"


class SlotService:
    """``url`` and ``token`` are what a client needs; ``close`` ends it, and so does leaving it as a context manager."""

    def __init__(self, slots: Sequence[Slot], health: Callable[[], dict[str, Any]], port: int = 0) -> None:
        self.token = secrets.token_urlsafe(24)
        basic = base64.b64encode(f"{_USER}:{self.token}".encode())
        self._admitted = (f"Bearer {self.token}".encode(), b"Basic " + basic)
        self._slots = {f"slot_{slot.number}": slot for slot in slots}
        self._health = health
        self._posts: dict[str, Callable[[Any], Any]] = {
            "/execute": self._execute,
            "/batch": self._batch,
            "/reset": self._reset,
            **{path: partial(self._artifacts, answer) for path, answer in service_artifacts.ANSWERS.items()},
        }
        self._server = _Server(("127.0.0.1", port), _Handler)
        self._server.service = self
        threading.Thread(target=self._server.serve_forever, name="slot service", daemon=True).start()

    @property
    def port(self) -> int:
        return int(self._server.server_address[1])

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def address(self) -> str:
        """The same with the token in it, for clients that know nothing but an address; as secret as the token."""
        return f"http://{_USER}:{self.token}@127.0.0.1:{self.port}"

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    # --- what is answered -------------------------------------------------------------------------------------------
    def admits(self, authorization: str) -> bool:
        given = authorization.encode("utf-8", "replace")
        return any(compare_digest(given, right) for right in self._admitted)

    def get(self, path: str) -> Any:
        if path == "/health":
            return self._health()
        if path == "/slots":
            return {"slots": [_state_of(name, slot) for name, slot in self._slots.items()]}
        raise Refused(404, f"there is no GET {path}")

    def post(self, path: str, body: bytes) -> Any:
        answer = self._posts.get(path)
        if answer is None:
            raise Refused(404, f"there is no POST {path}")
        try:
            data = json.loads(body)
        except (ValueError, RecursionError):
            raise Refused(400, "Invalid JSON") from None
        try:
            return answer(data)
        except SandboxError as error:
            raise Refused(502, str(error)) from error
        except (TypeError, ValueError, AttributeError, OverflowError, RecursionError) as error:
            raise Refused(400, f"{path}: {error}") from error

    def _execute(self, data: Any) -> Any:
        request = self._request_of(_mapping(data))
        if isinstance(request, ToolResult):
            return request.to_dict()
        return request.slot.tool(request.tool, request.args, request.timeout, request.execution_id).to_dict()

    def _batch(self, data: Any) -> Any:
        if not isinstance(data, list):
            raise Refused(400, "Expected array of requests")
        asked = [self._request_of(_mapping(item)) for item in data]
        done = iter(batch([request for request in asked if isinstance(request, ToolRequest)]))
        return [_as_json(next(done) if isinstance(request, ToolRequest) else request) for request in asked]

    def _reset(self, data: Any) -> Any:
        name = str(_mapping(data).get("slot_id", ""))
        if name not in self._slots:
            return ToolResult(False, error=f"Unknown slot: {name}").to_dict()
        self._slots[name].reset()
        return ToolResult(True, f"Reset workspace for {name}").to_dict()

    def _artifacts(self, answer: Callable[[Slot, Mapping[str, Any]], Any], data: Any) -> Any:
        asked = _mapping(data)
        name = str(asked.get("slot_id", ""))
        if name not in self._slots:
            raise Refused(404, f"Unknown slot: {name}")
        try:
            return answer(self._slots[name], asked)
        except RemoteFileError as error:
            raise service_artifacts.refused(error, str(asked.get("path", "."))) from error

    def _request_of(self, item: Mapping[str, Any]) -> ToolRequest | ToolResult:
        name, execution_id = str(item.get("slot_id", "")), item.get("execution_id")
        if name not in self._slots:
            return ToolResult(False, error=f"Unknown slot: {name}", execution_id=execution_id)
        timeout = float(item.get("timeout", DEFAULT_TIMEOUT_SEC))
        args = _mapping(item.get("args", {}))
        return ToolRequest(self._slots[name], str(item.get("tool", "")), args, timeout, execution_id)


class _Server(ThreadingHTTPServer):
    """Any user of this machine may connect to it: those without the token have few places, of which the oldest goes."""

    daemon_threads = True
    allow_reuse_address = False
    request_queue_size = 128
    service: SlotService

    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.guests = Guests()

    def process_request(self, request: Any, client_address: Any) -> None:
        self.guests.welcome(request)
        super().process_request(request, client_address)

    def shutdown_request(self, request: Any) -> None:
        self.guests.leave(request)
        super().shutdown_request(request)

    def handle_error(self, request: Any, client_address: Any) -> None:
        if not isinstance(sys.exc_info()[1], OSError):  # else he has gone, or was turned away
            super().handle_error(request, client_address)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server_version = "fargate-sandbox"
    timeout = _IDLE_SEC
    server: ClassVar[_Server]  # type: ignore[misc]

    def do_GET(self) -> None:
        self._answer(lambda _body: self.server.service.get(self.path))

    def do_POST(self) -> None:
        self._answer(lambda body: self.server.service.post(self.path, body))

    def _answer(self, act: Callable[[bytes], Any]) -> None:
        try:
            status, value = 200, act(self._admitted_body())
        except Refused as reason:
            status, value = reason.status, reason.body
        text = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text)

    def _admitted_body(self) -> bytes:
        """Nothing of it is read for who has no token, and no such connection is used again."""
        if not self.server.service.admits(self.headers.get("Authorization", "")):
            self.close_connection = True
            raise Refused(401, "the bearer token of this service is wanted")
        if not self.server.guests.recognise(self.connection):
            self.close_connection = True
            raise Refused(503, f"{MAX_KNOWN} connections with the token are open already")
        length = self.headers.get("Content-Length", "0")
        if not _LENGTH.fullmatch(length) or int(length) > _LONGEST_BODY or "Transfer-Encoding" in self.headers:
            self.close_connection = True
            raise Refused(413, f"a body has a Content-Length of at most {_LONGEST_BODY}")
        return self.rfile.read(int(length))

    def log_message(self, *_: Any) -> None:
        """It has no log: what is asked may be secret."""


def _state_of(name: str, slot: Slot) -> dict[str, Any]:
    return {
        "slot_id": name,
        "state": "executing" if slot.tools.is_executing else "available",
        "workspace_dir": slot.home,
        "current_execution_id": slot.tools.current_execution_id,
    }


def _as_json(outcome: ToolResult | SandboxError) -> dict[str, Any]:
    if isinstance(outcome, ToolResult):
        return outcome.to_dict()
    return {"success": False, "error": str(outcome), "metadata": {"infrastructure": True}}


def _mapping(value: Any) -> Mapping[str, Any]:
    if not isinstance(value, dict):
        raise Refused(400, f"expected an object, not {value!r:.80}")
    return value
