"""A workspace with a note in it, and what a command says there."""

from __future__ import annotations

from typing import Any

from agents.sandbox import Manifest
from agents.sandbox.entries import File

NOTE = Manifest(entries={"note": File(content=b"as it came\n")})


async def said(session: Any, command: str) -> str:
    return str((await session.exec(command)).stdout.decode())
