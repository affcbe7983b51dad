"""Whom an image runs as is seen in a sandbox of it, which is stopped whatever comes of that."""

from __future__ import annotations

from types import SimpleNamespace
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import TransportError
from pytest_fargate_sandbox.tasks.image_users import made_as_root

if TYPE_CHECKING:
    from collections.abc import Callable


class Made:
    """Sandboxes that answer so, one after the other."""

    def __init__(self, *answers: Callable[[], str]) -> None:
        self._answers = [*answers]
        self.with_keys: list[dict[str, Any]] = []
        self.stopped: list[Any] = []

    def make(self, **keys: Any) -> SimpleNamespace:
        self.with_keys.append(keys)
        return SimpleNamespace(exec=lambda _command: SimpleNamespace(stdout=self._answers.pop(0)()))


def _breaks() -> str:
    raise TransportError("it broke")


def test_a_first_one_is_stopped_where_it_is_not_roots_and_where_it_does_not_tell() -> None:
    made = Made(_breaks, lambda: "1000:1000\n")
    with pytest.raises(TransportError):
        made_as_root(made.make, {"image": "of-nobody"}, made.stopped.append)
    assert len(made.stopped) == 1
    sandbox, user = made_as_root(made.make, {"image": "of-nobody"}, made.stopped.append)
    assert (user, len(made.stopped), made.with_keys[-1]) == ("1000:1000", 2, {"image": "of-nobody", "user": "0"})
    assert sandbox not in made.stopped
