"""What a client may ask for: each verb with its request, and who answers it."""

import os
import signal
import sys
import time

from pytest_fargate_sandbox.server import wire
from pytest_fargate_sandbox.server.audience import Audience
from pytest_fargate_sandbox.server.commands import Commands
from pytest_fargate_sandbox.server.exchange import Exchange
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.http1 import Disconnected, SizedBody
from pytest_fargate_sandbox.server.stdin import StdinFeeder, write_all
from pytest_fargate_sandbox.server.wire import STDERR, STDOUT

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.command import Command
    from pytest_fargate_sandbox.server.message import Message

_LONGEST_LINE = 16 * 1024 * 1024


class Verbs:
    def __init__(self, commands: Commands) -> None:
        self.commands = commands
        requests: "tuple[tuple[type[Message], Callable[[Exchange, Any], None]], ...]" = (
            (wire.Run, self._run),
            (wire.Attach, self._attach),
            (wire.Spawn, self._spawn),
            (wire.Write, self._write),
            (wire.Signal, self._signal),
            (wire.Forget, self._forget),
            (wire.Configure, self._configure),
            (wire.ReadFile, _read_file),
            (wire.WriteFile, _write_file),
            (wire.ListFiles, _list_files),
            (wire.ReadTree, _read_tree),
            (wire.WriteTree, _write_tree),
            (wire.Fetch, _fetch),
        )
        self._by_path = {wire.PREFIX + request.VERB: (request, act) for request, act in requests}

    def health(self, exchange: Exchange) -> None:
        exchange.answer(wire.Health(python=sys.version.split()[0], pid=os.getpid()))

    def answer(self, exchange: Exchange, method: str, target: str) -> None:
        if target not in self._by_path or method != "POST":
            raise Failure("unknown_verb", "there is no %.20s %.80s here" % (method, target))
        request, act = self._by_path[target]
        act(exchange, request.from_json(exchange.payload.read_line(_LONGEST_LINE)))

    # --- commands -----------------------------------------------------------------------------------------------
    def _run(self, exchange: Exchange, request: wire.Run) -> None:
        is_inline = isinstance(exchange.payload.body, SizedBody)
        # Before the command begins: half an input is no input.
        stdin = exchange.payload.read_all() if is_inline else None
        command, is_new = self.commands.claim(request)
        if not is_new:
            self._follow(exchange, command, wire.Attach(id=request.id, limit=request.limit))
            return
        audience = Audience(exchange, command, {STDOUT: 0, STDERR: 0}, request.limit)
        command.listener = audience
        feeder = None if is_inline else StdinFeeder(exchange, command)
        pump = self.commands.begin(command, request, exchange.waker, has_stdin=stdin != b"")
        if pump:
            pump.serve(audience)
            if feeder:
                feeder.start()
            elif stdin:
                pump.feed(stdin)
            self.commands.drive(command, pump)
        if command.listener is not audience or audience.gone:
            raise Disconnected("the client left its command", midway=False)
        audience.finish(command.result(request.limit))
        exchange.acknowledges = command.id
        if pump and feeder:
            feeder.join()

    def _attach(self, exchange: Exchange, request: wire.Attach) -> None:
        self._follow(exchange, self.commands.find(request.id), request)

    def _follow(self, exchange: Exchange, command: "Command", request: wire.Attach) -> None:
        offsets = {STDOUT: request.stdout, STDERR: request.stderr}
        audience = Audience(exchange, command, offsets, request.limit)
        if request.wait is None:
            command.listen(audience)
        deadline = float("inf") if request.wait is None else time.monotonic() + request.wait
        while self._wait_for_news(command, audience, deadline):
            audience.advance(wait=True)
        if audience.gone:
            raise Disconnected("the client left", midway=False)
        if command.failure:
            raise command.failure
        if not command.ended:
            audience.stop_here()
        audience.finish(command.result(request.limit))
        if command.ended and request.wait is None:
            exchange.acknowledges = command.id

    def _wait_for_news(self, command: "Command", audience: Audience, deadline: float) -> bool:
        """Whether there may be more to come."""
        with command.changed:
            while not command.ended and not audience.gone:
                if deadline == float("inf"):
                    if audience.has_news:
                        return True
                    if not command.changed.wait(wire.HEARTBEAT_SEC):
                        audience.beat()
                    continue
                left = deadline - time.monotonic()
                if left <= 0 or audience.has_news:
                    return False
                command.changed.wait(min(left, wire.HEARTBEAT_SEC))
        return False

    def _spawn(self, exchange: Exchange, request: wire.Spawn) -> None:
        command, is_new = self.commands.claim(request)
        pid = self.commands.spawn(command, request) if is_new else 0
        if not is_new and command.tree:
            pid = command.tree.leader
        exchange.answer(wire.Spawned(pid=pid))

    def _write(self, exchange: Exchange, request: wire.Write) -> None:
        command = self.commands.find(request.id)
        data = exchange.payload.read_all()
        if command.stdin is None and data:
            raise Failure("closed", "nobody reads the stdin of the command %s any more" % request.id)
        if data and not write_all(command, data):
            raise Failure("closed", "the command %s has closed its stdin" % request.id)
        if request.end:
            command.close_stdin()
        exchange.answer(wire.Nothing())

    def _signal(self, exchange: Exchange, request: wire.Signal) -> None:
        command = self.commands.find(request.id)
        if not command.tree:
            raise Failure("closed", "the command %s has no process: there was no such program" % request.id)
        if not request.tree:
            self.commands.reaper.signal(command.tree.leader, request.signal)
        elif request.signal == signal.SIGKILL:
            command.tree.kill()
        else:
            command.tree.send(request.signal)
        exchange.answer(wire.Nothing())

    def _forget(self, exchange: Exchange, request: wire.Forget) -> None:
        self.commands.forget(request.id)
        exchange.answer(wire.Nothing())

    def _configure(self, exchange: Exchange, request: wire.Configure) -> None:
        self.commands.configure(request.environment)
        exchange.answer(wire.Nothing())


# --- files: their modules are loaded when the first file travels ---------------------------------------------------
def _read_file(exchange: Exchange, request: wire.ReadFile) -> None:
    from pytest_fargate_sandbox.server import files

    exchange.stream(files.read(request.path))


def _write_file(exchange: Exchange, request: wire.WriteFile) -> None:
    from pytest_fargate_sandbox.server import files

    files.write(request, exchange.payload)
    exchange.answer(wire.Nothing())


def _list_files(exchange: Exchange, request: wire.ListFiles) -> None:
    from pytest_fargate_sandbox.server import files

    exchange.answer(files.list_directory(request.path))


def _read_tree(exchange: Exchange, request: wire.ReadTree) -> None:
    from pytest_fargate_sandbox.server import trees

    exchange.stream(trees.read(request.path))


def _write_tree(exchange: Exchange, request: wire.WriteTree) -> None:
    from pytest_fargate_sandbox.server import trees

    trees.write(request.path, exchange.payload)
    exchange.answer(wire.Nothing())


def _fetch(exchange: Exchange, request: wire.Fetch) -> None:
    from pytest_fargate_sandbox.server import fetching

    fetching.fetch(request)
    exchange.answer(wire.Nothing())
