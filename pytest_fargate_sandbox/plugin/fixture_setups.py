"""Which fixtures are being set up right now: what makes a sandbox meanwhile has it, and the sandbox ends with it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Generator


class FixtureSetups:
    """The requests of the fixtures that are being set up, the innermost last."""

    def __init__(self, on_failure: Callable[[Any], None]) -> None:
        """``on_failure`` is told of each fixture whose set-up failed, since nobody will have its value."""
        self._requests: list[Any] = []
        self._on_failure = on_failure

    @pytest.hookimpl(tryfirst=True)
    def pytest_runtest_setup(self) -> None:
        self._requests.clear()

    @pytest.hookimpl(wrapper=True, tryfirst=True)
    def pytest_fixture_setup(self, fixturedef: Any, request: Any) -> Generator[None, Any, Any]:
        self._requests.append(request)
        try:
            return (yield)
        except BaseException:
            self._on_failure(fixturedef)
            raise
        finally:
            self._requests.remove(request)

    def come_late(self, request: Any) -> None:
        """``request`` is of a test that asks for us only as it runs, so nobody told us what is being set up."""
        while hasattr(request, "_parent_request"):
            request = request._parent_request
            if hasattr(request, "_fixturedef"):
                self._requests.insert(0, request)

    def running(self) -> list[Any]:
        return [each for each in self._requests if each._fixturedef.cached_result is None]
