"""An agent in a task that asks a model outside for everything it says, and who asks the agent."""

from __future__ import annotations

import http.client
import random
import threading
import time
import urllib.request
from collections import Counter
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import TYPE_CHECKING

from pytest_fargate_sandbox import EcsFargateSandbox, OutsideEndpoint
from tests.chaos.systems import System, led_through_a_proxy
from tests.chaos.workloads import digest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox import EcsFargateConfig

BROKEN = (OSError, http.client.HTTPException)
PROGRAM = """
import http.client, os, time, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

def ask(path):
    while True:
        try:
            with urllib.request.urlopen(os.environ["MODEL"] + path, timeout=20) as answer:
                return answer.read()
        except (OSError, http.client.HTTPException):
            time.sleep(0.02)

class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        body = ask(self.path)
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
    def log_message(self, *args): pass

class Server(ThreadingHTTPServer):
    daemon_threads = True
    def handle_error(self, *args): pass

Server(("0.0.0.0", 8000), Agent).serve_forever()
"""
"""Like any agent it tries again what breaks; what breaks is a connection of its own to the model."""

_PATIENCE = 60.0
_LONGEST = 300_000


class Model:
    """On our side. It notes what it was asked, and its answers can be known beforehand."""

    def __init__(self, seed: int, longest: int = _LONGEST) -> None:
        self._longest = longest
        self._seed = seed
        self.asked: set[int] = set()
        model = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                number = int(self.path.rpartition("/")[2])
                model.asked.add(number)
                body = model.answer(number)
                self.send_response(200)
                self.send_header("Content-Length", str(len(body)))
                self.end_headers()
                self.wfile.write(body)

            def log_message(self, *_: object) -> None:
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True
            request_queue_size = 64

            def handle_error(self, *_: object) -> None:
                """The other side has gone, which is what all this is about."""

        self._server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
        self._thread.start()

    def answer(self, number: int) -> bytes:
        chance = random.Random(f"{self._seed} {number}")
        return chance.randbytes(chance.randint(1, self._longest))

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@contextmanager
def agent(cfg: EcsFargateConfig, model: Model, dead_after: float) -> Iterator[System]:
    with EcsFargateSandbox(cfg, task_id="chaos", run_id="chaos") as sandbox:
        sandbox.start(outside_endpoints=[OutsideEndpoint(model.url, "MODEL")])
        with led_through_a_proxy(sandbox, dead_after) as proxy:
            yield System("embedded Fargate, an agent", sandbox, "", proxy)


class Requests:
    """To the agent, by ``local_port``. What the connection breaks is asked again, as over any network."""

    threads = 8
    is_brief = True

    def __init__(self, system: System, model: Model) -> None:
        self._url = f"http://127.0.0.1:{system.sandbox.local_port}"
        self._model = model

    def act(self, number: int) -> None:
        end = time.monotonic() + _PATIENCE
        while True:
            try:
                with urllib.request.urlopen(f"{self._url}/{number}", timeout=_PATIENCE) as answer:
                    body = answer.read()
                break
            except BROKEN:
                assert time.monotonic() < end, f"no answer within {_PATIENCE:.0f} s"
                time.sleep(0.02)
        assert digest(body) == digest(self._model.answer(number))

    def written_down(self) -> Counter[int]:
        return Counter(self._model.asked)

    def litter(self) -> int:
        return 0
