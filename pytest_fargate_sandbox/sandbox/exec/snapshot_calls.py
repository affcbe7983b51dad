"""Trees of the sandbox saved, loaded and compared with what they were, by a server that may have to learn how."""

from __future__ import annotations

import hashlib
from typing import IO, TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.changes import Changes
from pytest_fargate_sandbox.sandbox.exec.downloads import Download
from pytest_fargate_sandbox.sandbox.exec.exec_calls import parsed
from pytest_fargate_sandbox.sandbox.exec.member_count import MemberCount
from pytest_fargate_sandbox.sandbox.exec.snapshot_digest import SnapshotDigest
from pytest_fargate_sandbox.sandbox.exec.uploads import Upload
from pytest_fargate_sandbox.server import protocol
from pytest_fargate_sandbox.server.files import file_protocol
from pytest_fargate_sandbox.server.requests.http1 import BLOCK, Malformed
from pytest_fargate_sandbox.server.snapshots.snapshot_protocol import (
    ADDED,
    MODIFIED,
    REMOVED,
    TOUCHED,
    UNSEEN,
    AskLoaded,
    CompareTree,
    Difference,
    FetchSnapshot,
    KnowTree,
    Loaded,
    LoadSnapshot,
    SaveSnapshot,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.exec.exec_calls import Answer, ExecCalls

_TRIES = 4
_MOST_DIFFERENCES = 250_000
"""More than a server of ours tells."""

_MOST_BYTES = 256 * 1024 * 1024


class SnapshotCalls:
    def __init__(self, calls: ExecCalls) -> None:
        self._calls = calls

    def save(self, request: SaveSnapshot, target: Path, max_bytes: int | None, max_members: int | None) -> None:
        fields = {"exclude": request.exclude, "user": request.user}
        download = Download(self._calls, request.path, _TRIES, max_bytes=max_bytes, **fields)

        def digest() -> SnapshotDigest:
            return SnapshotDigest(None if max_members is None else MemberCount(request.path, max_members))

        download.save_answer(SaveSnapshot, target, digest)

    def load(self, source: Path, remote_dir: str, user: str, *, set_ids: bool) -> tuple[str, ...]:
        """What of it could not be kept."""

        def blocks() -> Iterator[bytes]:
            with source.open("rb", buffering=0) as file:
                yield from iter(lambda: file.read(BLOCK), b"")

        request = LoadSnapshot(id=file_protocol.new_upload_id(), path=remote_dir, user=user, set_ids=set_ids)
        Upload(self._calls, request, blocks).to_end(_TRIES)
        return self._not_kept(request.id)

    def fetch(self, url: str, roots: str, remote_dir: str, user: str, *, set_ids: bool) -> tuple[str, ...]:
        """The same of one that the sandbox gets for itself."""
        request = FetchSnapshot(
            id=file_protocol.new_upload_id(),
            url=url,
            roots=roots,
            path=remote_dir,
            sha256="",
            unpack=True,
            user=user,
            set_ids=set_ids,
        )

        def once() -> None:
            with self._calls.open(request, patience=self._calls.patience(self._calls.limits.fetch_sec)) as answer:
                answer.read_message(protocol.Nothing)

        self._calls.persistently(once)
        return self._not_kept(request.id)

    def _not_kept(self, load_id: str) -> tuple[str, ...]:
        loaded = self._calls.ask(AskLoaded(id=load_id), Loaded)
        assert isinstance(loaded, Loaded)
        return (*loaded.not_kept, *([f"and {loaded.more} more"] if loaded.more > 0 else []))

    def remember(self, request: KnowTree, rows: Callable[[], Iterator[bytes]] | None = None) -> None:
        """What it is like now; or what it was like, of which ``rows`` tell."""

        def once() -> None:
            payload = rows() if rows else b""
            with self._calls.open(request, payload) as answer:
                answer.read_message(protocol.Nothing)

        self._calls.persistently(once)

    def changes(self, request: CompareTree, snapshot: Path | None) -> Changes:
        """``snapshot`` is the one of that name. Raises a ``SandboxError`` of the kind ``forgotten``."""

        def once() -> Changes:
            with self._calls.open(request) as answer:
                return _changes(answer, snapshot)

        return self._calls.persistently(once)


def _changes(answer: Answer, snapshot: Path | None) -> Changes:
    found: dict[str, list[str]] = {ADDED: [], MODIFIED: [], REMOVED: [], UNSEEN: []}
    touched: list[Difference] = []
    more = False
    for difference in _differences(answer):
        if difference.last:
            more = difference.more
        elif difference.how == TOUCHED and snapshot:
            touched.append(difference)
        elif difference.how not in found:
            raise Malformed(f"a difference that is none: {difference.how!r:.80}")
        else:
            told = f"{difference.path}: {difference.why}" if difference.how == UNSEEN else difference.path
            found[difference.how].append(told)
    if snapshot and touched:
        was = _digests_in(snapshot, {(each.at, each.size) for each in touched})
        found[MODIFIED] += [each.path for each in touched if was[each.at, each.size] != each.sha256]
    added, modified, removed, unseen = (tuple(sorted(found[how])) for how in (ADDED, MODIFIED, REMOVED, UNSEEN))
    return Changes(added, modified, removed, unseen, more)


def _differences(answer: Answer) -> Iterator[Difference]:
    digest = hashlib.sha256()
    for count, line in enumerate(_lines(answer, digest)):
        difference = parsed(Difference, line)
        assert isinstance(difference, Difference)
        if count > _MOST_DIFFERENCES:
            raise Malformed("more differences than are ever told")
        yield difference
        if difference.last:
            break
    else:
        answer.check_whole()
        raise Malformed("it ends in the middle")
    answer.end()
    answer.check_digest(digest.hexdigest())


def _lines(answer: Answer, digest: hashlib._Hash) -> Iterator[bytes]:
    rest, size = b"", 0
    for block in iter(answer.payload.read, b""):
        digest.update(block)
        size += len(block)
        if size > _MOST_BYTES:
            raise Malformed("more comes than was asked for")
        *lines, rest = (rest + block).split(b"\n")
        if len(rest) > Difference.LONGEST:
            raise Malformed(f"a line of more than {Difference.LONGEST} bytes")
        yield from lines


def _digests_in(snapshot: Path, places: set[tuple[int, int]]) -> dict[tuple[int, int], str]:
    """Of so many bytes at each of these places, of which none is the content of two files: links have the same one."""
    end = snapshot.stat().st_size
    if any(min(place) < 0 or sum(place) > end for place in places) or sum(size for _, size in places) > end:
        raise Malformed("content at no place, or more of it than was saved")
    with snapshot.open("rb") as file:
        return {(at, size): _digest_in(file, at, size) for at, size in places}


def _digest_in(file: IO[bytes], at: int, size: int) -> str:
    digest, left = hashlib.sha256(), size
    file.seek(at)
    while left:
        data = file.read(min(left, BLOCK))
        if not data:
            raise SandboxError(f"{file.name} is not as it was when it was saved: it is shorter")
        digest.update(data)
        left -= len(data)
    return digest.hexdigest()
