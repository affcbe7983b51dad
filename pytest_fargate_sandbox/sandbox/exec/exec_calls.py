"""One call to the exec server: a request out, an answer back, failures mapped to our errors."""

from __future__ import annotations

import hashlib
import threading
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import (
    RemoteFileError,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemotePermissionError,
    SandboxError,
    TransportError,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import (
    AnswerHead,
    Disconnected,
    Malformed,
    Payload,
    chunk,
    last_chunk,
    open_body,
    read_answer_head,
    request_head,
    send_chunked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_connection import ConnectionPool, ExecConnection
    from pytest_fargate_sandbox.server.message import Message

T = TypeVar("T")

SILENCE_SEC = 30.0
"""Several heartbeats of a running command: a connection that is silent for longer is dead."""

_WORK_SEC = 600.0
"""How long the server may be busy with a file before it says a word."""

_TRIES = 5
_LONGEST_LINE = 64 * 1024 * 1024

_REMOTE_FILE_ERRORS = {
    "not_found": RemoteFileNotFound,
    "permission": RemotePermissionError,
    "is_directory": RemoteIsADirectory,
}
_OTHER_FILE_KINDS = {"not_directory", "exists", "no_space", "os_error", "too_large", "bad_request", "unreachable"}


def error_of(failure: Failure) -> SandboxError:
    """The server's failure as an error of ours."""
    kind, path = failure.kind, failure.path
    if kind in _REMOTE_FILE_ERRORS:
        return _REMOTE_FILE_ERRORS[kind](failure.message, path=path, kind=kind, errno=failure.errno)
    if kind in _OTHER_FILE_KINDS:
        return RemoteFileError(failure.message, path=path, kind=kind, errno=failure.errno)
    if kind == "unsafe_archive":
        return UnsafeArchiveError(failure.message, member=path)
    if kind == "unauthorized":
        return TransportError("the exec server does not take our token: it is another sandbox's", kind=kind)
    if kind in ("checksum", "stopping", "unknown_command"):
        return TransportError(failure.message, kind=kind)
    if kind in ("closed", "forgotten", "too_many", "unknown_user"):
        return SandboxError(failure.message, kind=kind)
    return SandboxError(f"the exec server says {kind}: {failure.message}", kind=kind)


class Answer:
    """What came back: a payload that is read while it comes."""

    def __init__(self, head: AnswerHead, payload: Payload) -> None:
        self.head = head
        self.payload = payload

    def check_digest(self, digest: str) -> None:
        """Once the payload has been read: was it all, and was it right?"""
        self.check_whole()
        if self.payload.body.trailers.get(protocol.DIGEST_TRAILER) != digest:
            raise Failure("checksum", "what was received is not what was sent")

    def check_whole(self) -> None:
        """Once the payload has been read: raise what kept the server from sending the rest of it."""
        trailers = self.payload.body.trailers
        if protocol.FAILURE_TRAILER in trailers:
            raise Failure.from_json(trailers[protocol.FAILURE_TRAILER])


class ExecCalls:
    """Speaks ``server/protocol.py`` over a pool of connections."""

    def __init__(self, pool: ConnectionPool, token: str | None) -> None:
        self._pool = pool
        self._token = token

    def ask(self, request: Message, answer_type: type[Message], payload: bytes = b"") -> Message:
        """A request that may be repeated and has a short answer."""

        def once() -> Message:
            with self.open(request, payload) as answer:
                line = answer.payload.read_line(_LONGEST_LINE)
                answer.payload.read_all()
                return answer_type.from_json(line)  # type: ignore[no-any-return]

        return self.persistently(once)

    def ask_health(self, silence: float) -> None:
        """One question; raises where there is no answer. It takes no token, but strangers lose their place first."""
        with self._lent_connection() as loan:
            loan.connection.expect_word_within(silence)
            loan.connection.send(request_head(f"{protocol.PREFIX}health", self._token, 0, method="GET"))
            self._hear_answer(loan).payload.read_all()

    def persistently(self, act: Callable[[], T], tries: int = _TRIES) -> T:
        """Do it, and do it again when the connection breaks. For what does no harm when it is done twice."""
        rests, attempt = pauses(0.05, 1.0), 0
        while True:
            attempt += 1
            try:
                return act()
            except Failure as failure:
                if failure.kind != "checksum" or attempt == tries:
                    raise error_of(failure) from None
            except Disconnected as reason:
                if attempt == tries:
                    raise TransportError(f"lost the exec server: {reason}") from reason
            except TransportError:
                if attempt == tries:
                    raise
            except Malformed as reason:
                raise TransportError(f"that is not our exec server: {reason}") from reason
            time.sleep(next(rests))

    @contextmanager
    def open(
        self, request: Message, payload: bytes | Iterable[bytes] = b"", *, silence: float = _WORK_SEC
    ) -> Iterator[Answer]:
        """Send the request and give its answer, whose payload is still to be read.

        Bytes travel inside the request; anything else is streamed, with its digest behind it. Raises ``Disconnected``,
        ``Malformed`` and ``Failure``.
        """
        with self._lent_connection() as loan:
            yield self._hear(loan, self._send, request, payload, silence)

    @contextmanager
    def open_both_ways(self, request: Message, payload: Iterable[bytes], *, silence: float) -> Iterator[Answer]:
        """The same for a payload that is still being sent while the answer is read."""
        with self._lent_connection() as loan:
            sender = _Sender(lambda: self._send(loan.connection, request, payload), loan.connection.close)
            try:
                yield self._hear(loan, lambda *_: sender.start(), request, payload, silence)
            except Disconnected as reason:
                raise sender.error or reason from None
            # Whoever has not taken all of it by now, will not: the connection is cut under the sender.
            loan.can_be_used_again = not sender.is_alive()

    @contextmanager
    def _lent_connection(self) -> Iterator[_Loan]:
        loan = _Loan(self._pool.take())
        try:
            yield loan
        except Disconnected:
            self._pool.drop_idle()
            raise
        finally:
            answer = loan.answer
            if answer and answer.payload.body.finished and answer.head.keep_alive and loan.can_be_used_again:
                self._pool.give_back(loan.connection)
            else:
                loan.connection.close()

    def _hear(
        self,
        loan: _Loan,
        send: Callable[[ExecConnection, Message, bytes | Iterable[bytes]], None],
        request: Message,
        payload: bytes | Iterable[bytes],
        silence: float,
    ) -> Answer:
        connection = loan.connection
        connection.expect_word_within(silence)
        broken: Disconnected | None = None
        try:
            send(connection, request, payload)
        except Disconnected as reason:
            broken = reason  # It may have refused us before it hung up.
        try:
            return self._hear_answer(loan)
        except Disconnected as reason:
            raise broken or reason from None

    def _hear_answer(self, loan: _Loan) -> Answer:
        head = read_answer_head(loan.connection.reader)
        loan.answer = answer = Answer(head, Payload(open_body(loan.connection.reader, head.fields)))
        if head.status != 200:
            raise Failure.from_json(answer.payload.read_all())
        return answer

    def _send(self, connection: ExecConnection, request: Message, payload: bytes | Iterable[bytes]) -> None:
        path, line = protocol.PREFIX + request.VERB, request.to_json()
        if isinstance(payload, bytes):
            connection.send(request_head(path, self._token, len(line) + len(payload)) + line + payload)
            return
        digest = hashlib.sha256()

        def digested() -> Iterator[bytes]:
            for block in payload:
                digest.update(block)
                yield block

        pending = send_chunked(connection.send, request_head(path, self._token, None) + chunk(line), digested())
        connection.send(pending + last_chunk({protocol.DIGEST_TRAILER: digest.hexdigest()}))


class _Loan:
    """A connection while one request has it."""

    def __init__(self, connection: ExecConnection) -> None:
        self.connection = connection
        self.answer: Answer | None = None
        self.can_be_used_again = True


class _Sender(threading.Thread):
    """Sends while somebody else reads the answer."""

    def __init__(self, send: Callable[[], None], cut: Callable[[], None]) -> None:
        super().__init__(name="exec-stdin", daemon=True)
        self._send = send
        self._cut = cut
        self.error: Exception | None = None

    def run(self) -> None:
        try:
            self._send()
        except Disconnected:
            pass  # The reader finds out by itself, and knows better what it means.
        except Exception as error:
            # Half of what the caller meant to send; the server takes the command down when it misses the rest.
            self.error = error
            self._cut()
