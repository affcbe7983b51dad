"""Whose doing it was that a sandbox could not be reached."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import TransportError
from pytest_fargate_sandbox.tasks import whose_fault

if TYPE_CHECKING:
    from collections.abc import Sequence


class CutOff:
    """What is asked of a sandbox there, where nothing answers until the way to it is made anew, or not even then."""

    def __init__(self, *, comes_back: bool) -> None:
        self._comes_back = comes_back
        self._has_new_way = False

    def reconnect_tunnel(self) -> None:
        self._has_new_way = True

    def exec(self, command: Sequence[str], **_: Any) -> None:
        if not (self._has_new_way and self._comes_back):
            raise TransportError(f"{command} was not heard")


@pytest.mark.parametrize(
    ("comes_back", "expected"), [(True, None), (False, "the server in it does not answer, and its sidecar does")]
)
def test_a_network_that_was_away_for_long_is_not_the_agents_doing(
    monkeypatch: pytest.MonkeyPatch, comes_back: bool, expected: str | None
) -> None:
    monkeypatch.setattr(whose_fault, "_LOOK_SEC", 0.1)
    assert whose_fault.why_from_inside(CutOff(comes_back=comes_back), TransportError("it broke")) == expected
