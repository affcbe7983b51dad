"""Whether a kind of sandbox can come up at all is found out once for a run, by one or two of them.

The first two of a kind are on trial: until one runs, or both fail, the others wait. What is refused when it is asked
for is refused to all alike. Of tasks that died for a reason that seems to hold for all, since there is no such image,
it takes two, for what a registry says in a bad moment reads no differently; so two are launched at once, where tests
want as many. Then no other is launched, and all tests that want one have the same sentence. The first of them has told
the rest of it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import SandboxError, StartError
from pytest_fargate_sandbox.leaves.names import Cause
from pytest_fargate_sandbox.sandbox.task.causes import holds_for_all

if TYPE_CHECKING:
    from pytest_fargate_sandbox.run.kind_notes import Notes

ENOUGH = 2
_TOLD_ELSEWHERE = {"log_tail": "", "transient": False}
"""And to run a test again is of no use."""


def came_up(notes: Notes) -> None:
    notes.update(came_up=True, open=True, on_trial=None, died=0)


def gave_up(notes: Notes, worker: str) -> None:
    """The worker stopped trying, for a reason that says nothing about the kind."""
    if notes["on_trial"] == worker:
        notes["on_trial"] = None


def failed(notes: Notes, error: SandboxError, test: str | None, *, is_second: bool = False) -> SandboxError:
    """Take a failed start into account; the error that ``test`` is to tell. ``is_second``: one had failed before it."""
    notes["on_trial"] = None
    weight = _weight(error)
    if not weight or notes["came_up"]:
        notes["open"] = True
        return error
    notes["strikes"] += weight + (is_second or notes["died"] > 0)
    if notes["problem"] is None:
        notes["problem"] = error.to_dict()
    if notes["told_by"] is None or _sentence(error.message) != _sentence(notes["problem"]["message"]):
        notes["told_by"] = test
    return _as_told_to(error, notes, test)


def is_hopeless(notes: Notes) -> bool:
    return bool(notes["strikes"] >= ENOUGH)


def tried(notes: Notes) -> int:
    """How many of a kind on trial have been launched, but for those on the shelf."""
    return int(bool(notes["on_trial"]) + notes["strikes"] + notes["died"])


def one_has_died(notes: Notes) -> bool:
    """Whether that is all that is known of the kind: the next to die of what holds for all settles it."""
    return not (notes["came_up"] or notes["open"]) and bool(notes["died"] or notes["strikes"])


def problem(notes: Notes, test: str) -> SandboxError | None:
    """Why none of the kind is launched any more, as ``test`` is to tell it."""
    if not is_hopeless(notes):
        return None
    notes["told_by"] = notes["told_by"] or test
    return _as_told_to(SandboxError.from_dict(notes["problem"]), notes, test)


def not_built(notes: Notes, error: SandboxError, test: str) -> SandboxError:
    """What ``test`` is to tell of an image that could not be built: all of it, where no other has told the same.

    It says nothing against the kind: what is in its directory by then may be built.
    """
    told_by = notes["unbuilt"].get(error.message)
    if told_by is None:
        notes["unbuilt"] = {error.message: test}
    return error if told_by in (None, test) else _shortened(error, f"{told_by} tells the rest")


def _as_told_to(error: SandboxError, notes: Notes, test: str | None) -> SandboxError:
    if notes["told_by"] == test:
        return error
    return _shortened(error, f"nothing else of its kind is launched in this run; {notes['told_by']} tells the rest")


def _shortened(error: SandboxError, note: str) -> SandboxError:
    told = {"message": f"{_sentence(error.message)}\n{note}", "context": {**error.context, **_TOLD_ELSEWHERE}}
    return SandboxError.from_dict({**error.to_dict(), **told})


def _sentence(message: str) -> str:
    return message.partition("\n")[0]


def _weight(error: SandboxError) -> int:
    """How much it says against the whole kind."""
    if not isinstance(error, StartError) or not holds_for_all(error):
        return 0
    if error.cause == Cause.NETWORK:
        return ENOUGH  # the start has tried it again, with another task
    return 1 if error.task_arn else ENOUGH
