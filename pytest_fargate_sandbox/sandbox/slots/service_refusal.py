"""A request to a service of slots that cannot be carried out."""

from __future__ import annotations

from typing import Any


class Refused(Exception):
    """A request that cannot be carried out, with the status that says so."""

    def __init__(self, status: int, message: str, **facts: Any) -> None:
        super().__init__(message)
        self.status = status
        self.body = {"success": False, "error": message, **facts}
