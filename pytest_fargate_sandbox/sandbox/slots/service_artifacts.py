"""What a service of slots answers about artifacts, in the words of its protocol."""

from __future__ import annotations

import base64
import dataclasses
import io
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.artifact_bounds import MOST_BYTES, MOST_ENTRIES
from pytest_fargate_sandbox.sandbox.slots.service_refusal import Refused

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from pytest_fargate_sandbox.leaves.errors import RemoteFileError
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

_STATUS = {"not_found": 404, "permission": 403, "too_large": 413}


def read(slot: Slot, data: Mapping[str, Any]) -> dict[str, Any]:
    encoding = str(data.get("encoding") or "text").strip().lower()
    if encoding not in ("text", "base64"):
        raise Refused(400, f"Unsupported encoding: {encoding}")
    found = slot.artifacts.read(
        str(data.get("path", "")), encoding, _bounded(data, "max_bytes", MOST_BYTES), bool(data.get("include_sha256"))
    )
    told = {name: value for name, value in dataclasses.asdict(found).items() if name != "mtime"}
    return {"success": True, **told}


def list_(slot: Slot, data: Mapping[str, Any]) -> dict[str, Any]:
    found = slot.artifacts.list(
        str(data.get("path") or "."), bool(data.get("recursive")), _bounded(data, "max_entries", MOST_ENTRIES)
    )
    entries = [entry._asdict() for entry in found]
    return {"success": True, "entries": entries, "truncated": found.truncated}


def archive(slot: Slot, data: Mapping[str, Any]) -> dict[str, Any]:
    form = str(data.get("format") or "tar.gz").strip().lower()
    if form not in ("tar.gz", "tgz"):
        raise Refused(400, f"Unsupported archive format: {form}")
    content = io.BytesIO()
    most_bytes, most_entries = _bounded(data, "max_bytes", MOST_BYTES), _bounded(data, "max_entries", MOST_ENTRIES)
    packed = slot.artifacts.archive(str(data.get("path") or "."), content, most_bytes, most_entries)
    return {
        "success": True,
        "content": base64.b64encode(content.getvalue()).decode("ascii"),
        "encoding": "base64",
        "format": "tar.gz",
        "bytes": packed.bytes,
        "entry_count": packed.entry_count,
    }


ANSWERS: dict[str, Callable[[Slot, Mapping[str, Any]], dict[str, Any]]] = {
    "/artifacts/read": read,
    "/artifacts/list": list_,
    "/artifacts/archive": archive,
}


def refused(error: RemoteFileError, path: str) -> Refused:
    kind = str(error.context.get("kind"))
    said = {
        "not_found": f"Not found: {path}",
        "permission": "Access denied: path outside workspace",
        "is_directory": f"Not a file: {path}",
    }
    facts = {"bytes": error.context["size"]} if "size" in error.context else {}
    return Refused(_STATUS.get(kind, 400), said.get(kind, error.message), **facts)


def _bounded(data: Mapping[str, Any], name: str, most: int) -> int:
    """As many as are asked for, but at least one, and no more than there may be."""
    value = data.get(name)
    return most if value is None else max(1, min(most, int(value)))
