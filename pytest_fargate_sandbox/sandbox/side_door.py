"""A way into the sandboxes that this process holds, for other processes of its user.

The keys to a sandbox stay here: whoever comes says which task he wants, and his request goes on with our token. The
door is a socket in a directory that is this user's alone, and it asks the kernel who stands before it.
"""

from __future__ import annotations

import contextlib
import json
import logging
import os
import select
import socket
import struct
import threading
import time
from typing import TYPE_CHECKING, Any, Protocol

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.sockets import address_of, wake
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.server.requests.http1 import BLOCK

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.starting import Started
    from pytest_fargate_sandbox.sandbox.terminals.open_terminals import OpenTerminals

_log = logging.getLogger(__name__)

_LONGEST_LINE = 64 * 1024
_POLL_SEC = 0.05
_WISH_SEC = 10.0
"""Nobody who says nothing is kept in the door, be it byte by byte."""
_REPLY_SEC = 5.0
_LONGEST_REPLY = 4096
OK = b"ok\n"
_NOT_HERE = b"that task is not held here\n"


class Held(Protocol):
    """A sandbox that runs."""

    terminals: OpenTerminals

    @property
    def task_arn(self) -> str | None: ...

    def running(self) -> Started: ...


class SideDoor:
    """Of one process: there as long as it holds a sandbox."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}
        self._listener: socket.socket | None = None
        self._path: Path | None = None

    def lead_to(self, sandbox: Held) -> None:
        """From now on; where no door can be had, nobody is kept from his sandbox for it."""
        with self._lock:
            self._held[str(sandbox.task_arn)] = sandbox
            if self._listener is None:
                try:
                    self._open()
                except OSError as error:  # a home that is read-only
                    _log.info("`fargate-sandbox exec` and `shell` do not reach this process: %s", error)

    def lead_no_more_to(self, task_arn: str | None) -> None:
        with self._lock:
            self._held.pop(str(task_arn), None)
            if not self._held and self._listener:
                wake(self._listener)
                self._listener.close()
                self._listener = None
                if self._path:
                    self._path.unlink(missing_ok=True)

    def _open(self) -> None:
        path = cache_directory("doors") / f"{os.getpid()}.sock"
        path.unlink(missing_ok=True)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            with address_of(path) as address:
                listener.bind(address)
            path.chmod(0o600)
            listener.listen()
        except OSError:
            listener.close()
            raise
        self._listener, self._path = listener, path
        threading.Thread(target=self._answer, args=(listener,), name="side-door", daemon=True).start()

    def _answer(self, listener: socket.socket) -> None:
        while True:
            try:
                visitor, _ = listener.accept()
            except OSError:
                if self._listener is not listener:
                    return
                time.sleep(_POLL_SEC)  # out of descriptors, for now
                continue
            try:
                threading.Thread(target=self._receive, args=(visitor,), name="side-door-visit", daemon=True).start()
            except RuntimeError:  # no thread to be had: he comes again
                visitor.close()

    def _receive(self, visitor: socket.socket) -> None:
        with visitor, contextlib.suppress(OSError, SandboxError, ValueError, RuntimeError):
            if _user_of(visitor) not in (os.geteuid(), 0):
                return
            leaves = threading.Timer(_WISH_SEC, wake, (visitor,))
            leaves.daemon = True
            leaves.start()
            try:
                head, rest = _line_of(visitor)
            finally:
                leaves.cancel()
            wish = json.loads(head)
            if not isinstance(wish, dict):
                return
            with self._lock:
                sandbox = self._held.get(str(wish.get("task")))
            if sandbox is None:
                visitor.sendall(_NOT_HERE)
            elif wish.get("terminal") is None:
                _carry(visitor, rest, sandbox)
            else:
                _show(visitor, sandbox, str(wish["terminal"]))


def _user_of(visitor: socket.socket) -> int:
    # https://man7.org/linux/man-pages/man7/unix.7.html (SO_PEERCRED); elsewhere the directory's mode has to do.
    if not hasattr(socket, "SO_PEERCRED"):
        return os.geteuid()
    _, uid, _ = struct.unpack("3i", visitor.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, 12))
    return int(uid)


def _line_of(visitor: socket.socket, end: bytes = b"\n", got: bytes = b"") -> tuple[bytes, bytes]:
    while end not in got:
        data = visitor.recv(4096)
        if not data or len(got) > _LONGEST_LINE:
            raise ConnectionError("no whole line came")
        got += data
    line, _, rest = got.partition(end)
    return line, rest


def _carry(visitor: socket.socket, rest: bytes, sandbox: Held) -> None:
    """One request and its answer, by the sandbox's own server."""
    try:
        started = sandbox.running()
        client = started.mode.client(started.connection)
    except SandboxError as error:
        visitor.sendall(error.message.partition("\n")[0].encode() + b"\n")
        return
    visitor.sendall(OK)
    head, body = _line_of(visitor, b"\r\n\r\n", rest)
    stream = client.begin_for(head)

    def onward() -> None:
        with contextlib.suppress(OSError, SandboxError):
            stream.sendall(body)
            while data := visitor.recv(BLOCK):
                stream.sendall(data)

    threading.Thread(target=onward, name="side-door-onward", daemon=True).start()
    try:
        while data := stream.recv(BLOCK):
            visitor.sendall(data)
    finally:
        stream.close()
        wake(visitor)


def _show(visitor: socket.socket, sandbox: Held, name: str) -> None:
    """What a terminal has shown, and what it shows, as long as it lives: lines of its recording."""
    terminals = sandbox.terminals.all()
    found = [terminal for terminal in terminals if terminal.name == name or not name]
    if not found:
        names = ", ".join(terminal.name for terminal in terminals) or "none"
        visitor.sendall(f"there is no terminal {name!r}; open are: {names}\n".encode())
        return
    visitor.sendall(OK)
    leaves = select.poll()
    leaves.register(visitor, select.POLLIN)  # he says nothing more: all that can be read of him is his end
    offset, is_alive = 0, True
    while is_alive and not leaves.poll(1000 * _POLL_SEC):
        is_alive = found[-1].is_alive
        lines, offset = found[-1].stream(offset)
        visitor.sendall("".join(f"{line}\n" for line in lines).encode())


DOOR = SideDoor()


# --- from outside -----------------------------------------------------------------------------------------------------
def visit(task_arn: str, **wish: Any) -> socket.socket:
    """A connection to the process that holds this task, behind its ``ok``. ``SandboxError`` where nobody does."""
    refusals, silent = [], []
    for path in sorted(cache_directory("doors").glob("*.sock")):
        visitor = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            visitor.settimeout(_REPLY_SEC)
            with address_of(path) as address:
                visitor.connect(address)
            visitor.sendall(json.dumps({"task": task_arn, **wish}).encode() + b"\n")
            answer = _reply(visitor)
        except ConnectionRefusedError:
            visitor.close()
            path.unlink(missing_ok=True)  # left by a process that was killed
            continue
        except TimeoutError:
            visitor.close()
            silent.append(path.stem)
            continue
        except OSError:  # it ends just now
            visitor.close()
            continue
        if answer == OK:
            visitor.settimeout(None)
            return visitor
        visitor.close()
        refusals.append(answer.decode("utf-8", "replace").strip())
    told = [refusal for refusal in refusals if refusal != _NOT_HERE.decode().strip()]
    if not told and silent:
        told = [f"process {' or '.join(silent)} of yours, which may hold that task, does not answer: is it stopped?"]
    raise SandboxError(told[0] if told else "no process of yours on this machine holds that task")


def _reply(visitor: socket.socket) -> bytes:
    reply, end = b"", time.monotonic() + _REPLY_SEC
    while not reply.endswith(b"\n"):
        visitor.settimeout(max(0.001, end - time.monotonic()))
        data = visitor.recv(1)
        if not data or len(reply) > _LONGEST_REPLY:
            raise ConnectionError("the door was shut")
        reply += data
    return reply


def way_to(task_arn: str) -> Callable[[float], socket.socket]:
    """How a client comes to the server of a task that another process holds; a connection for each request."""
    return lambda _timeout: visit(task_arn)


def shown(visitor: socket.socket) -> Iterator[str]:
    """The lines of a terminal's recording, as they come."""
    with visitor, visitor.makefile("r", encoding="utf-8") as lines:
        yield from lines
