"""What any sandbox must do, as a list of checks: every kind of sandbox and every engine passes the same ones.

    from pytest_fargate_sandbox.conformance import BEHAVIOURS

    @pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
    def test_conformance(sandbox, behaviour):
        behaviour(sandbox)

Each takes a started sandbox, uses its public methods only, works in a directory of its own, and raises an
``AssertionError`` that says what was expected. They need nothing in the sandbox but a shell and what busybox has, and
may run at the same time. ``LARGE_BEHAVIOURS`` are for soak tests: each moves a gibibyte, or as many bytes as it is told
to, ``behaviour(sandbox, size)``.
"""

from __future__ import annotations

# Each module adds its checks to the list when it is imported.
from pytest_fargate_sandbox.conformance import commands, files, paths, processes, together  # noqa: F401
from pytest_fargate_sandbox.conformance.behaviour import Behaviour, LargeBehaviour, everyday, large

__all__ = ["BEHAVIOURS", "LARGE_BEHAVIOURS", "Behaviour", "LargeBehaviour"]

BEHAVIOURS = tuple(everyday)
LARGE_BEHAVIOURS = tuple(large)
