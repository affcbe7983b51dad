"""What came out of a sandbox, or is about one, as text of a page: what would turn a line round is written out, too."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.printable import printable


def shown(text: object) -> str:
    return printable(str(text))
