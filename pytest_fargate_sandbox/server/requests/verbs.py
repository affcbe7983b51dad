"""What a client may ask for: each verb with its request, and who answers it."""

import os
import signal
import sys
import threading
import time

from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.commands.command_table import Commands
from pytest_fargate_sandbox.server.commands.output_listener import OutputListener
from pytest_fargate_sandbox.server.commands.pipes import Pipes
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import STDERR, STDOUT
from pytest_fargate_sandbox.server.requests.exchange import Exchange
from pytest_fargate_sandbox.server.requests.http1 import MAX_INLINE, SLOT_FIELD, Disconnected, RequestHead
from pytest_fargate_sandbox.server.terminal_protocol import Terminal

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.commands.command import Command
    from pytest_fargate_sandbox.server.commands.pseudo_terminal import PseudoTerminal
    from pytest_fargate_sandbox.server.message import Message

_LONGEST_LINE = 16 * 1024 * 1024


class Verbs:
    def __init__(self, commands: Commands, memory_hidden: bool) -> None:
        self.commands = commands
        self.tenant_of: "Callable[[str], Any]" = _nobody
        """Whose slot it is; who learns what slots are puts it there."""
        self._memory_hidden = memory_hidden
        self._lessons = threading.Lock()
        self._learnt: "set[str]" = set()
        self._by_path: "dict[str, tuple[type[Message], Callable[[Exchange, Any], None]]]" = {}
        self._add(
            (protocol.Run, self._run),
            (protocol.Attach, self._attach),
            (protocol.Spawn, self._spawn),
            (protocol.Write, self._write),
            (protocol.Signal, self._signal),
            (Terminal, self._terminal),
            (protocol.Configure, self._configure),
            (protocol.Learn, self._learn),
        )

    def _add(self, *requests: "tuple[type[Message], Callable[[Exchange, Any], None]]") -> None:
        self._by_path.update({protocol.PREFIX + request.VERB: (request, act) for request, act in requests})

    def health(self, exchange: Exchange) -> None:
        self.commands.refuse_if_closing()
        python = sys.version.split()[0]
        exchange.answer(protocol.Health(python=python, pid=os.getpid(), memory_hidden=self._memory_hidden))

    def answer(self, exchange: Exchange, head: RequestHead) -> None:
        if head.target not in self._by_path or head.method != "POST":
            raise Failure("unknown_verb", "there is no %.20s %.80s in %s" % (head.method, head.target, protocol.PREFIX))
        request, act = self._by_path[head.target]
        message = request.from_json(exchange.payload.read_line(_LONGEST_LINE))
        lease = head.fields.get(SLOT_FIELD)
        if lease is None:
            act(exchange, message)
            return
        exchange.tenant = tenant = self.tenant_of(lease)
        with tenant.serving(exchange, message.IS_OF_FILES):
            act(exchange, message)

    def _learn(self, exchange: Exchange, request: protocol.Learn) -> None:
        """What is known already is not learnt again: whoever asked for it first has objects of it."""
        import zlib

        source = exchange.payload.read_all(MAX_INLINE)
        with self._lessons:
            if request.module not in self._learnt:
                parts = zlib.decompress(source).decode("utf-8").split("\0")
                sys.modules["__main__"].__dict__["SOURCES"].update(zip(parts[::2], parts[1::2]))
                self.know(request.module)
        exchange.answer(protocol.Nothing())

    def know(self, module: str) -> None:
        self._add(*__import__(module, fromlist=["requests"]).requests(self))
        self._learnt.add(module)

    # --- commands -----------------------------------------------------------------------------------------------
    def _run(self, exchange: Exchange, request: protocol.Run) -> None:
        stdin = exchange.payload.read_all(MAX_INLINE)  # Before the command begins: half an input is no input.
        with self.commands.last_words:
            self._run_and_tell(exchange, request, stdin)

    def _run_and_tell(self, exchange: Exchange, request: protocol.Run, stdin: bytes) -> None:
        command, is_new = self.commands.claim(request, exchange.tenant)
        if not is_new:
            self._follow(exchange, command, protocol.Attach(id=request.id, limit=request.limit))
            return
        output_listener = OutputListener(exchange, command, {STDOUT: 0, STDERR: 0}, request.limit)
        command.listener = output_listener
        command.intake.fill(stdin)
        pump = self.commands.begin(command, request, exchange.waker, Pipes(has_stdin=bool(stdin)))
        if pump:
            pump.serve(output_listener)
            self.commands.drive(command, pump)
        if command.listener is not output_listener or output_listener.gone:
            raise Disconnected("the client left its command", midway=False)
        output_listener.finish(command.result(request.limit))
        exchange.acknowledges = (command.id,)

    def _attach(self, exchange: Exchange, request: protocol.Attach) -> None:
        with self.commands.last_words:
            self._follow(exchange, self.commands.find(request.id), request)

    def _follow(self, exchange: Exchange, command: "Command", request: protocol.Attach) -> None:
        offsets = {STDOUT: request.stdout, STDERR: request.stderr}
        command.acknowledge(offsets)
        output_listener = OutputListener(exchange, command, offsets, request.limit, request.most)
        if request.wait is None:
            command.listen(output_listener)
            if not command.ended:
                output_listener.beat()  # However often its connections break, the client knows that it was found.
        deadline = float("inf") if request.wait is None else time.monotonic() + request.wait
        while self._wait_for_news(command, output_listener, deadline):
            output_listener.advance(wait=True)
        if output_listener.gone:
            raise Disconnected("the client left", midway=False)
        if command.failure:
            raise command.failure
        if not command.ended:
            output_listener.stop_here()
        output_listener.finish(command.result(request.limit))
        if command.ended and request.wait is None:
            exchange.acknowledges = (command.id,)

    def _wait_for_news(self, command: "Command", output_listener: OutputListener, deadline: float) -> bool:
        """Whether there may be more to come."""
        with command.changed:
            while not command.ended and not output_listener.gone:
                if deadline == float("inf"):
                    if output_listener.has_news:
                        return True
                    if not command.changed.wait(protocol.HEARTBEAT_SEC):
                        output_listener.beat()
                    continue
                left = deadline - time.monotonic()
                if left <= 0 or output_listener.has_news:
                    return False
                command.changed.wait(min(left, protocol.HEARTBEAT_SEC))
        return False

    def _spawn(self, exchange: Exchange, request: protocol.Spawn) -> None:
        command, is_new = self.commands.claim(request, exchange.tenant)
        if is_new:
            ends: "Pipes | PseudoTerminal" = Pipes(has_stdin=True)
            if request.columns:
                ends = self.commands.put_on_terminal(command, request.columns, request.rows)
            self.commands.spawn(command, request, ends)
        spawned = protocol.Spawned(pid=command.pid())
        if command.terminal:
            spawned.notes = protocol.decoded(command.terminal.notes or b"")
            spawned.script = protocol.decoded(command.script or b"")
            spawned.terminals = self.commands.terminals()
        exchange.answer(spawned)

    def _write(self, exchange: Exchange, request: protocol.Write) -> None:
        command = self.commands.find(request.id)
        command.used_at = time.monotonic()
        exchange.answer(protocol.Taken(offset=command.intake.take(request, exchange.payload.read)))

    def _signal(self, exchange: Exchange, request: protocol.Signal) -> None:
        command = self.commands.find(request.id)
        if not command.tree:
            raise Failure("closed", "the command %s has no process: there was no such program" % request.id)
        if request.foreground:
            with command.changed:
                _terminal_of(command).signal(request.signal, request.group)
        elif not request.tree:
            self.commands.reaper.signal(command.tree.leader, request.signal)
        elif request.signal == signal.SIGKILL:
            command.tree.kill()
        else:
            command.tree.send(request.signal)
        exchange.answer(protocol.Nothing())

    def _terminal(self, exchange: Exchange, request: Terminal) -> None:
        command = self.commands.find(request.id)
        with command.changed:
            terminal = _terminal_of(command)
            if request.columns:
                terminal.resize(request.columns, request.rows)
            state = terminal.state()
        exchange.answer(state)

    def _configure(self, exchange: Exchange, request: protocol.Configure) -> None:
        self.commands.configure(request.environment)
        exchange.answer(protocol.Nothing())


def _nobody(_lease: str) -> "Any":
    raise Failure("slot_gone", "this machine has no slots")


def _terminal_of(command: "Command") -> "PseudoTerminal":
    """To be held on to only while the command is locked."""
    if command.terminal is None or command.intake.file is None:
        raise Failure("closed", "the command %s has no terminal, or has none any more" % command.id)
    return command.terminal
