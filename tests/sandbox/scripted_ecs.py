"""An HTTP server that answers a real AWS client with what a test has written down, and remembers what it was asked.

For what no engine does on demand: an answer that never comes, a connection that breaks, a refusal in AWS's own words.
"""

from __future__ import annotations

import json
import threading
from collections import deque
from functools import cache
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING, Any

from botocore.loaders import Loader, create_loader

from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials

if TYPE_CHECKING:
    from pathlib import Path

LOST = object()
"""Instead of an answer: the request is read, and the connection broken."""


class ScriptedEcs:
    """``answers`` maps an operation to what it answers, one after the other; the last one stays."""

    def __init__(self, **answers: list[Any]) -> None:
        self.requests: list[tuple[str, dict[str, Any]]] = []
        self._answers = {operation: deque(each) for operation, each in answers.items()}
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def aws(self, notes: Path, **more: Any) -> Aws:
        aws = Aws(
            region="us-east-1",
            endpoint_url=f"http://127.0.0.1:{self._server.server_address[1]}",
            credentials=Credentials("AKIAEXAMPLE", "secret"),
            notes=notes,
            **more,
        )
        aws._session.register_component("data_loader", _models())
        return aws

    def asked(self, operation: str) -> list[dict[str, Any]]:
        return [request for name, request in self.requests if name == operation]

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()

    def _answer(self, operation: str, request: dict[str, Any]) -> Any:
        with self._lock:
            self.requests.append((operation, request))
            answers = self._answers[operation]
            return answers.popleft() if len(answers) > 1 else answers[0]

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        ecs = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                operation = self.headers["X-Amz-Target"].rpartition(".")[2]
                answer = ecs._answer(operation, body)
                if answer is LOST:
                    self.close_connection = True
                    return
                status = 400 if "__type" in answer else 200
                text = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/x-amz-json-1.1")
                self.send_header("Content-Length", str(len(text)))
                self.end_headers()
                self.wfile.write(text)

            def log_message(self, *_args: object) -> None:
                pass

        return Handler


@cache
def _models() -> Loader:
    """What AWS can be asked takes long to read, and is the same for all."""
    return create_loader()


def refusal(code: str, message: str = "") -> dict[str, str]:
    """An error as ECS sends it."""
    return {"__type": code, "message": message}
