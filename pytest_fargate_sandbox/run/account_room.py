"""How much the account has room for, as far as a run has learnt it from being refused.

Nobody tells beforehand, and others may use the account as well. So what the run had when it was refused is taken for
all that it may have, and every half minute one launch more finds out whether that still holds.
"""

from __future__ import annotations

import time
from typing import Any

_PROBE_SEC = 30.0

Document = dict[str, Any]


def learn(document: Document, reason: str) -> bool:
    """The account refused one task more than the run has. Whether the run has any whose end could make room."""
    if not document.get("tasks"):
        return False
    document["room"] = {"cpu": _in_use(document), "at": time.monotonic(), "reason": reason}
    return True


def is_known(document: Document) -> bool:
    return document.get("room") is not None


def why_tests_wait(document: Document) -> str:
    """What the account said, where tests wait for room; nothing where none does."""
    return reason(document) if is_known(document) and document.get("waiting") else ""


def reason(document: Document) -> str:
    """What the account said when it last refused."""
    return str(document["room"]["reason"])


def take(document: Document, row: dict[str, Any], more: int) -> bool:
    """Whether the task of this row may be launched, and ``more`` like it would fit as well.

    What does not fit may be launched now and then, to find out, and where the run has nothing that could be waited for.
    """
    in_use = _in_use(document)
    if not in_use or in_use + row["cpu"] * (1 + more) <= document["room"]["cpu"]:
        return True
    if not _is_old(document):
        return False
    document["room"]["at"], row["probes"] = time.monotonic(), True
    return True


def may_be_ahead(document: Document) -> bool:
    """Whether a task that nobody needs yet may take room."""
    return not is_known(document) or (_is_old(document) and _in_use(document) < document["room"]["cpu"])


def launched(document: Document, row: dict[str, Any]) -> None:
    """There was room for it."""
    if row.pop("probes", False):
        document.pop("room", None)


def _is_old(document: Document) -> bool:
    return time.monotonic() - float(document["room"]["at"]) >= _PROBE_SEC


def _in_use(document: Document) -> int:
    """By tasks that live or stop, and by launches under way."""
    return sum(row.get("cpu", 0) for row in document.get("tasks", {}).values())
