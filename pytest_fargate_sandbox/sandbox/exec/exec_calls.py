"""One call to the exec server: a request out, an answer back, failures mapped to our errors."""

from __future__ import annotations

import copy
import hashlib
import time
from contextlib import contextmanager
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.errors import (
    MISBEHAVED,
    RemoteFileError,
    RemoteFileNotFound,
    RemoteIsADirectory,
    RemotePermissionError,
    SandboxError,
    TransportError,
    UnknownUser,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.sandbox.exec.endurance import Endurance
from pytest_fargate_sandbox.sandbox.exec.leash import LeashedPatience
from pytest_fargate_sandbox.sandbox.exec.patience import Look, Patience
from pytest_fargate_sandbox.server import bundle, protocol
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.requests.http1 import (
    AnswerHead,
    Disconnected,
    Malformed,
    Payload,
    chunk,
    digested,
    last_chunk,
    open_body,
    read_answer_head,
    request_head,
    send_chunked,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.sandbox.exec.exec_connection import ConnectionPool, ExecConnection, Stream
    from pytest_fargate_sandbox.sandbox.exec.leash import Leash
    from pytest_fargate_sandbox.sandbox.exec.limits import Limits
    from pytest_fargate_sandbox.server.message import Message

T = TypeVar("T")

_TRIES = 5

_REMOTE_FILE_ERRORS = {
    "not_found": RemoteFileNotFound,
    "permission": RemotePermissionError,
    "is_directory": RemoteIsADirectory,
}
_NOT_OURS = (
    "the exec server does not take our token: it is another sandbox's, or one that another process holds, which "
    "`EcsFargateSandbox.from_state` takes over"
)
_OTHER_VERSION = (
    "this sandbox was started by another version of pytest-fargate-sandbox, whose exec server does not speak with this "
    "one: use the version that started it, or start a new sandbox"
)
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
        return TransportError(_NOT_OURS, kind=kind)
    if kind == "unknown_verb":
        return SandboxError(_OTHER_VERSION, kind=kind)
    if kind in ("checksum", "stopping", "unknown_command", "hangs"):
        return TransportError(failure.message, kind=kind)
    if kind == "unknown_user":
        return UnknownUser(failure.message, kind=kind)
    if kind in ("closed", "forgotten", "too_many", "slot_gone", "slot_retired", "no_isolation"):
        return SandboxError(failure.message, kind=kind)
    return SandboxError(f"the exec server says {kind}: {failure.message}", kind=kind)


def misbehaviour(reason: Malformed) -> TransportError:
    """No honest server of ours says such a thing."""
    return TransportError(f"the sandbox misbehaves, or that is not our exec server: {reason}", kind=MISBEHAVED)


def _error_of_ours(reason: Disconnected | TransportError | Failure) -> SandboxError:
    if isinstance(reason, Failure):
        return error_of(reason)
    return reason if isinstance(reason, TransportError) else TransportError(f"lost the exec server: {reason}")


def parsed(message: type[Message], line: bytes) -> Message:
    """An answer as what it should be."""
    try:
        return message.from_json(line)  # type: ignore[no-any-return]
    except Failure as failure:
        raise Malformed(failure.message.lstrip(": ")) from None  # it names the verb, and an answer has none


class Answer:
    """What came back: a payload that is read while it comes."""

    def __init__(self, head: AnswerHead, payload: Payload) -> None:
        self.head = head
        self.payload = payload

    def read_message(self, message: type[Message]) -> Message:
        """The whole of it."""
        line = self.payload.read_line(message.LONGEST)
        self.end()
        return parsed(message, line)

    def end(self) -> None:
        """Nothing may come any more."""
        if self.payload.read():
            raise Malformed("more comes behind its end")

    def check_digest(self, digest: str) -> None:
        """Once the payload has been read: was it all, and was it right?"""
        self.check_whole()
        if self.payload.body.trailers.get(protocol.DIGEST_TRAILER) != digest:
            raise Malformed("its digest is not that of what came")

    def check_whole(self) -> None:
        """Once the payload has been read: raise what kept the server from sending the rest of it."""
        if self.has_failed:
            raise Failure.from_json(self.payload.body.trailers[protocol.FAILURE_TRAILER])

    @property
    def has_failed(self) -> bool:
        return protocol.FAILURE_TRAILER in self.payload.body.trailers


class ExecCalls:
    """Speaks ``server/protocol.py`` over a pool of connections."""

    def __init__(self, pool: ConnectionPool, token: str | None, limits: Limits, slot: str | None = None) -> None:
        """``slot`` is the lease in whose name it is all asked, if not in the machine's."""
        self._pool = pool
        self._token = token
        self._slot = slot
        self._taught: set[str] = set()
        self._leash: Leash | None = None
        self.limits = limits

    def in_slot(self, lease: str | None) -> ExecCalls:
        """The same over the same connections, in the slot of this lease; or in the machine's own name."""
        calls = copy.copy(self)
        calls._slot = lease
        return calls

    def on_leash(self, leash: Leash | None) -> ExecCalls:
        """The same, for an act that this ends, if anything does."""
        calls = copy.copy(self)
        calls._leash = leash
        return calls

    def patience(self, seconds: float, silence: float | None = None) -> Patience:
        look = Look(self.limits.silence_sec, self.on_leash(None).lives)
        if self._leash:
            return LeashedPatience(self._leash, seconds, self.limits.slowest_bytes_per_sec, silence, look)
        return Patience(seconds, self.limits.slowest_bytes_per_sec, silence, look)

    def endurance(self, tries: int) -> Endurance:
        return Endurance(tries, self.limits.breaks_sec)

    def ask(self, request: Message, answer_type: type[Message], payload: bytes = b"") -> Message:
        """A request that may be repeated and has a short answer."""

        patience = self.patience(self.limits.work_sec)

        def once() -> Message:
            with self.open(request, payload, patience=patience) as answer:
                return answer.read_message(answer_type)

        return self.persistently(once)

    def teach(self, lesson: str) -> None:
        """Give the server a part of itself that it was not started with, once."""
        if lesson not in self._taught:
            for earlier in bundle.LESSONS[lesson].after:
                self.teach(earlier)
            module, source = bundle.lesson(lesson)
            self.ask(protocol.Learn(module=module), protocol.Nothing, source)
            self._taught.add(lesson)

    def begin_for(self, head: bytes) -> Stream:
        """A connection on which this request was begun, with our token, and which is closed behind it."""
        line, _, fields = head.partition(b"\r\n")
        own = f"Connection: close\r\nAuthorization: Bearer {self._token}\r\n".encode()
        stream = self._pool.connect()
        stream.sendall(line + b"\r\n" + own + fields + b"\r\n\r\n")
        return stream

    def lives(self) -> bool:
        """Whether it answers at all."""
        try:
            self.ask_health()
        except (TransportError, Disconnected, Malformed, Failure):
            return False
        return True

    def ask_health(self) -> None:
        """One question; raises where there is no answer. It takes no token, but strangers lose their place first."""
        patience = Patience(self.limits.health_sec, self.limits.slowest_bytes_per_sec)
        with self._lent_connection("health", patience) as loan:
            loan.connection.send(request_head(protocol.HEALTH_PATH, self._token, 0, method="GET"))
            self._hear_answer(loan).payload.read_all(protocol.Health.LONGEST)

    def persistently(self, act: Callable[[], T], tries: int = _TRIES, reached: Callable[[], int] = lambda: 0) -> T:
        """Do it, and do it again when the connection breaks. For what does no harm when it is done twice.

        Where it comes further each time, as ``reached`` tells, it may break more often.
        """
        endurance, furthest = self.endurance(tries), reached()
        while True:
            try:
                return act()
            except (Disconnected, TransportError, Failure) as reason:
                if self._leash:
                    self._leash.check()
                if reached() > furthest:
                    endurance.begin_anew()
                    furthest = reached()
                is_final = isinstance(reason, Failure) and reason.kind != "checksum"
                if is_final or endurance.ends(broke=isinstance(reason, Disconnected)):
                    raise _error_of_ours(reason) from reason.__cause__
            except Malformed as reason:
                raise misbehaviour(reason) from reason
            time.sleep(endurance.rest())

    @contextmanager
    def open(
        self,
        request: Message,
        payload: bytes | Iterable[bytes] = b"",
        *,
        patience: Patience | None = None,
        skip: int = 0,
    ) -> Iterator[Answer]:
        """Send the request and give its answer, whose payload is still to be read.

        Bytes travel inside the request; anything else is streamed, but for so many bytes that the server has already,
        with the digest of the whole behind it. Raises ``Disconnected``,
        ``Malformed`` and ``Failure``.
        """
        if request.LESSON:
            self.teach(request.LESSON)
        with self._lent_connection(_named(request), patience or self.patience(self.limits.work_sec)) as loan:
            yield self._hear(loan, lambda: self._send(loan.connection.send, request, payload, skip))

    @contextmanager
    def _lent_connection(self, what: str, patience: Patience) -> Iterator[_Loan]:
        loan = _Loan(self._pool.take())
        loan.connection.patience = patience
        try:
            if self._leash:
                self._leash.hold(loan.connection)
            yield loan
        except Disconnected:
            self._pool.drop_idle()
            raise
        except Malformed as reason:
            loan.can_be_used_again = False
            raise Malformed(f"the answer to {what}: {reason}", reason.kind) from reason
        finally:
            if self._leash:
                self._leash.drop()
            if loan.is_settled:
                self._pool.give_back(loan.connection)
            else:
                loan.connection.close()

    def _hear(self, loan: _Loan, send: Callable[[], None]) -> Answer:
        broken: Disconnected | None = None
        try:
            send()
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
            raise Failure.from_json(answer.payload.read_all(self.limits.failure_bytes))
        return answer

    def _send(
        self, send: Callable[[bytes], None], request: Message, payload: bytes | Iterable[bytes], skip: int
    ) -> None:
        path, line = protocol.PREFIX + request.VERB, request.to_json()
        if isinstance(payload, bytes):
            send(request_head(path, self._token, len(line) + len(payload), slot=self._slot) + line + payload)
            return
        digest = hashlib.sha256()
        blocks = digested(payload, digest, skip)
        head = request_head(path, self._token, None, slot=self._slot)
        pending = send_chunked(send, head + chunk(line), blocks)
        send(pending + last_chunk({protocol.DIGEST_TRAILER: digest.hexdigest()}))


class _Loan:
    """A connection while one request has it."""

    def __init__(self, connection: ExecConnection) -> None:
        self.connection = connection
        self.answer: Answer | None = None
        self.can_be_used_again = True

    @property
    def is_settled(self) -> bool:
        """Whether all has been said, and nothing else: the next answer must be that to the next request."""
        answer = self.answer
        if not answer or not answer.payload.body.finished or not answer.head.keep_alive:
            return False
        return self.can_be_used_again and not self.connection.reader.has_more


def _named(request: Message) -> str:
    """What was asked for, and of which file or command."""
    which = getattr(request, "path", "") or getattr(request, "id", "")
    return f"{request.VERB} {which}".rstrip()
