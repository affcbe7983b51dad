"""``allowed_changes``: a test whose sandbox was changed elsewhere has failed."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator, Sequence

    from pytest_fargate_sandbox.plugin.leases import Leases
    from pytest_fargate_sandbox.run.lease import Lease
    from pytest_fargate_sandbox.sandbox.changes import Changes

_MOST_TOLD = 50


class AllowedChanges:
    """One for each process that runs tests."""

    def __init__(self, leases: Leases) -> None:
        self._leases = leases

    @pytest.hookimpl(wrapper=True)
    def pytest_runtest_call(self, item: pytest.Item) -> Generator[None, Any, Any]:
        result = yield
        for lease in self._leases.of(item):
            if lease.allowed_changes is not None:
                _check(lease, lease.allowed_changes)
        return result


def begin(lease: Lease, item: pytest.Item) -> None:
    """What files and hooks have put there beside the snapshots is no change of the test's."""
    is_as_loaded = not lease.has_files and not item.ihook.pytest_fargate_sandbox_started.get_hookimpls()
    if lease.allowed_changes is None or is_as_loaded:
        return
    from pytest_fargate_sandbox.sandbox.snapshot import Snapshot

    for directory, snapshot in lease.snapshots.items():
        lease.sandbox.remember(directory, exclude=Snapshot.open(snapshot).exclude)


def _check(lease: Lease, allowed: Sequence[str]) -> None:
    told: list[str] = []
    for directory in lease.snapshots:
        changes = lease.sandbox.changes(path=directory)
        told += (f"{how} {_in(directory, path)}" for how, path in not_allowed(changes, allowed))
    if told:
        from pytest_fargate_sandbox.leaves.printable import printable_line

        more = [f"… and {len(told) - _MOST_TOLD} more"] if len(told) > _MOST_TOLD else []
        lines = [printable_line(line) for line in told[:_MOST_TOLD]] + more
        pytest.fail(
            f"the sandbox was changed where it may not be (allowed_changes={list(allowed)}):\n  " + "\n  ".join(lines),
            pytrace=False,
        )


def _in(directory: str, path: str) -> str:
    return path if directory == "." else f"{directory.rstrip('/')}/{path}"


def not_allowed(changes: Changes, allowed: Sequence[str]) -> Iterator[tuple[str, str]]:
    """What fits none of the globs; but for directories that came, or went, with what does."""
    from pytest_fargate_sandbox.server.artifacts.globs import Glob

    globs = [Glob.of(pattern) for pattern in allowed]
    for how, paths in (("added", changes.added), ("removed", changes.removed), ("modified", changes.modified)):
        fitting = {path for path in paths if _fits(globs, path)}
        along = {above for path in fitting for above in _above(path)} if how != "modified" else set()
        yield from ((how, path) for path in paths if path not in fitting and path not in along)
    for told in changes.unseen:
        if not _fits(globs, told.rpartition(": ")[0]):
            yield "cannot be looked into:", told
    if changes.more:
        yield "more than that was changed,", "and is not looked at"


def _fits(globs: Sequence[Any], path: str) -> bool:
    return any(_is_whole(glob, path) for glob in globs)


def _is_whole(glob: Any, path: str) -> bool:
    states = glob.begin
    for name in path.split("/"):
        states = glob.step(states, name)
    return bool(glob.is_whole(states))


def _above(path: str) -> Iterator[str]:
    while "/" in path:
        path = path.rpartition("/")[0]
        yield path
