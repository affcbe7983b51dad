"""Whom a container's process runs as: Docker's ``user`` looked up in the image's own passwd and group files."""

from __future__ import annotations

from dataclasses import dataclass


class UnknownUser(Exception):
    """The text is Docker's."""


@dataclass(frozen=True)
class ImageUser:
    """Numbers for the kernel, and the home that ``HOME`` names."""

    uid: int = 0
    gid: int = 0
    groups: tuple[int, ...] = ()
    home: str = "/"


def find_user(user: str | None) -> ImageUser:
    """``name``, ``uid``, ``name:group`` or ``uid:gid``; None is root. Reads /etc of the root that we are in."""
    wanted, _, group = (user or "0").partition(":")
    entry = _entry_of(wanted)
    if entry is None:
        if not wanted.isdecimal():
            raise UnknownUser(f"unable to find user {wanted}: no matching entries in passwd file")
        name, uid, gid, home = "", int(wanted), 0, "/"
    else:
        name, uid, gid, home = entry
    if group:
        return ImageUser(uid, _group_number(group), (), home)
    return ImageUser(uid, gid, _groups_of(name), home)


def _entry_of(wanted: str) -> tuple[str, int, int, str] | None:
    for fields in _records("/etc/passwd", 6):
        name, _, uid, gid, _, home, *_ = fields
        if wanted in (name, uid) and uid.isdecimal() and gid.isdecimal():
            return name, int(uid), int(gid), home or "/"
    return None


def _group_number(group: str) -> int:
    for name, _, gid, *_ in _records("/etc/group", 3):
        if group in (name, gid) and gid.isdecimal():
            return int(gid)
    if group.isdecimal():
        return int(group)
    raise UnknownUser(f"unable to find group {group}: no matching entries in group file")


def _groups_of(name: str) -> tuple[int, ...]:
    members = ((gid, listed) for _, _, gid, listed, *_ in _records("/etc/group", 4) if gid.isdecimal())
    return tuple(int(gid) for gid, listed in members if name and name in listed.split(","))


def _records(path: str, least: int) -> list[list[str]]:
    try:
        # Not open(path, "r"): a text file's codec may not be loaded yet, and nothing can be imported any more.
        with open(path, "rb") as file:  # noqa: PTH123
            lines = file.read().decode("utf-8", "replace").splitlines()
    except OSError:
        return []
    return [fields for fields in (line.split(":") for line in lines) if len(fields) >= least]
