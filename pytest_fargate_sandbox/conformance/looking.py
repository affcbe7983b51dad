"""How the checks look at things, and what they say when they see something else."""

from __future__ import annotations

import random
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.conformance.behaviour import Sandbox


MIB = 1024 * 1024


def same(seen: object, wanted: object, what: str) -> None:
    if seen != wanted:
        raise AssertionError(f"{what}: expected {short(wanted)}, and it was {short(seen)}")


def same_bytes(seen: bytes, wanted: bytes, what: str) -> None:
    """Without a megabyte of them in the message."""
    if seen != wanted:
        differs = next((i for i, (a, b) in enumerate(zip(seen, wanted, strict=False)) if a != b), "the end")
        raise AssertionError(f"{what}: {len(wanted)} bytes expected, {len(seen)} came; they differ at {differs}")


def true(holds: bool, sentence: str) -> None:
    if not holds:
        raise AssertionError(sentence)


def raises(kind: type[BaseException] | tuple[type[BaseException], ...], act: Callable[[], object]) -> Any:
    try:
        returned = act()
    except kind as error:
        return error
    raise AssertionError(f"{kind} expected, and it returned {short(returned)}")


def short(value: object) -> str:
    text = repr(value)
    return text if len(text) < 1000 else f"{text[:500]} … {text[-300:]}"


@contextmanager
def scratch_there(sandbox: Sandbox) -> Iterator[str]:
    """A directory there, for one check."""
    path = sandbox.exec("mktemp -d /tmp/conformance.XXXXXX", check=True).stdout.strip()
    try:
        yield path
    finally:
        sandbox.exec(["rm", "-rf", path])


@contextmanager
def scratch_here() -> Iterator[Path]:
    """A directory here."""
    path = Path(tempfile.mkdtemp(prefix="conformance-"))
    try:
        yield path
    finally:
        shutil.rmtree(path)


def round_trip(sandbox: Sandbox, scratch: str, local: Path, size: int) -> None:
    source, back = local / f"source-{size}", local / f"back-{size}"
    write_random(source, size)
    sandbox.upload(source, f"{scratch}/file-{size}")
    same(sandbox.exec(f"wc -c < {scratch}/file-{size}").stdout.strip(), str(size), "the size there")
    sandbox.download(f"{scratch}/file-{size}", back)
    with source.open("rb") as one, back.open("rb") as other:
        while block := one.read(MIB):
            same_bytes(other.read(MIB), block, f"a file of {size} bytes after the trip")
        same(other.read(1), b"", "what lies beyond its end")


def write_random(path: Path, size: int) -> None:
    block = random.Random(size).randbytes(min(size, MIB))
    with path.open("wb") as file:
        while size:
            size -= file.write(block[:size])


def picture(tree: Path) -> dict[str, object]:
    """All that matters of a tree: names, kinds, modes, contents."""
    picture: dict[str, object] = {}
    for path in sorted(tree.rglob("*")):
        name = str(path.relative_to(tree))
        if path.is_symlink():
            picture[name] = ("link", str(path.readlink()))
        elif path.is_dir():
            picture[name] = ("directory", path.stat().st_mode & 0o777)
        else:
            picture[name] = ("file", path.stat().st_mode & 0o777, path.read_bytes())
    return picture


def is_root(sandbox: Sandbox) -> bool:
    return bool(sandbox.exec("id -u").stdout == "0\n")


def has_other_users(sandbox: Sandbox) -> bool:
    """Root may become anybody, but in the tasks of an engine without root there is nobody else."""
    ranges = [line.split() for line in sandbox.exec("cat /proc/self/uid_map").stdout.splitlines()]
    return is_root(sandbox) and any(int(first) <= 12345 < int(first) + int(count) for first, _, count in ranges)


def is_alive(sandbox: Sandbox, pid: str) -> bool:
    """Not a zombie: those are dead, and only wait for their parent to look."""
    return bool(sandbox.exec(f"grep -q '^State:.*[RSDT] ' /proc/{pid}/status").ok)


def gone(sandbox: Sandbox, pids: list[str]) -> None:
    def nobody() -> bool | None:
        return None if any(is_alive(sandbox, pid) for pid in pids) else True

    wait_until(nobody, deadline=5, what=f"the end of all of the processes {pids}")


def read_until(process: Any, mark: bytes) -> bytes:
    said = b""
    while mark not in said:
        more = process.read(timeout=10)
        true(bool(more), f"{mark!r} should have come, and only {said!r} did")
        said += more
    return said
