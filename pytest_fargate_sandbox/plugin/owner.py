"""owner"""
from __future__ import annotations


class Owner:
    def __init__(self, run) -> None:
        self._run = run
