"""What of the host no task may see: the rules, apart from how they are put into effect.

The rule is that root of a task sees what ``nobody`` of the host does. What is found here is hidden, so that it does not
even show; that none of the rest can be read takes no search (``container_layers``).
"""

from __future__ import annotations

import itertools
import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "nix", "gnu"})
"""What stands at the top of the host's root and is shown. ``/etc`` and ``/var`` are shown in part, the rest is not."""

VAR_LIB = frozenset({"alternatives", "apk", "apt", "dpkg", "pacman", "python", "rpm", "texmf", "ucf"})
"""What of ``/var/lib`` is shown: which packages are installed. All else there belongs to services."""

_LENT_FROM_ETC = ("/etc/sudoers", "/etc/sudoers.d")
_PRIVATE_IN_ETC = frozenset({
    "NetworkManager", "aws", "boto.cfg", "cloud", "credstore", "credstore.encrypted", "docker", "environment",
    "gitconfig", "kubernetes", "letsencrypt", "machine-id", "netplan", "npmrc", "openvpn", "pip.conf", "rancher",
    "wireguard", "wpa_supplicant",
})  # fmt: skip
_PRIVATE_ANYWHERE = frozenset({
    ".aws", ".azure", ".config", ".docker", ".env", ".gcloud", ".git-credentials", ".gnupg", ".kube", ".netrc",
    ".npmrc", ".pgpass", ".pypirc", ".ssh", "auth.conf", "auth.conf.d", "credentials", "credentials.json",
    "krb5.keytab", "secrets",
})  # fmt: skip
_NO_NAMES: frozenset[str] = frozenset()
_DEPTH_OF_ETC = 20
_DEPTH_OF_PROGRAMS = 3
"""Further down are hundreds of thousands of files: to look at each takes longer than all else at an engine's start."""
_BOTTOMLESS = 1 << 16
_LARGEST_LENT = 4 << 20
_PACKAGE_STORES = frozenset({"nix", "gnu"})
"""All that is in them is for everybody, and there are millions of files."""
_MOST_OWN = 500
"""In one directory; each becomes a mount in every container. One that has more is hidden as a whole."""


class Private(NamedTuple):
    """What not everybody on the host may read, or whose name says enough; whatever is below it is private too."""

    path: str
    is_lendable: bool
    """It is no secret, and there are programs that do not run without it: a task gets a copy."""


def private_in_etc() -> Iterator[Private]:
    return _private_below("/etc", depth=_DEPTH_OF_ETC, names=_PRIVATE_IN_ETC)


def private_among_programs() -> Iterator[Private]:
    """Where administrators put things of their own."""
    for directory in ("/opt", "/usr/local"):
        yield from _private_below(directory, depth=_DEPTH_OF_PROGRAMS, names=_NO_NAMES)


def own_among_programs() -> Iterator[Private]:
    """What this user alone may read: in directories that are his, to the bottom, of which nobody but he made anything.

    In those of others what lies as high as an administrator puts it for him.
    """
    for name in (*sorted(PROGRAMS - _PACKAGE_STORES), *(f"var/lib/{each}" for each in sorted(VAR_LIB))):
        if not Path(f"/{name}").is_symlink():
            yield from _own_below(f"/{name}", _DEPTH_OF_PROGRAMS)


def _own_below(directory: str, depth: int) -> Iterator[Private]:
    for entry, kind in _entries(directory):
        if stat.S_ISDIR(kind.st_mode) and os.access(entry.path, os.W_OK):
            private = list(itertools.islice(_private_below(entry.path, depth=_BOTTOMLESS, names=None), _MOST_OWN + 1))
            yield from private if len(private) <= _MOST_OWN else [Private(entry.path, is_lendable=False)]
        elif stat.S_ISDIR(kind.st_mode) and depth > 1:
            yield from _own_below(entry.path, depth - 1)
        elif kind.st_uid == os.geteuid() and not _is_public(kind.st_mode):
            yield Private(entry.path, _is_lendable(entry.path, kind))


def unreadable_in_system(*, to_the_bottom: bool) -> Iterator[Private]:
    """What packages have put there. No name is private: it may be a module's, ``secrets`` for one.

    ``to_the_bottom`` looks at every file, in ``/opt`` and ``/usr/local`` as well; else at what is found quickly.
    """
    depth = _BOTTOMLESS if to_the_bottom else _DEPTH_OF_PROGRAMS
    for directory in sorted(f"/{name}" for name in (PROGRAMS if to_the_bottom else ("usr",))):
        if not Path(directory).is_symlink():
            yield from _private_below(directory, depth=depth, names=None)
    for name in sorted(VAR_LIB):
        yield from _private_below(f"/var/lib/{name}", depth=depth, names=None)


def _private_below(directory: str, *, depth: int, names: frozenset[str] | None) -> Iterator[Private]:
    """The uppermost ones; without ``names`` by their modes alone."""
    for entry, kind in _entries(directory):
        if names is not None and (entry.name in names or entry.name in _PRIVATE_ANYWHERE):
            if not stat.S_ISLNK(kind.st_mode):
                yield Private(entry.path, is_lendable=False)
        elif not _is_public(kind.st_mode):
            yield Private(entry.path, _is_lendable(entry.path, kind))
        elif stat.S_ISDIR(kind.st_mode) and depth > 1:
            yield from _private_below(entry.path, depth=depth - 1, names=None if names is None else _NO_NAMES)


def _entries(directory: str) -> Iterator[tuple[os.DirEntry[str], os.stat_result]]:
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    for entry in entries:
        try:
            yield entry, entry.stat(follow_symlinks=False)
        except OSError:  # noqa: PERF203 - it has just gone
            continue


def _is_public(mode: int) -> bool:
    if stat.S_ISDIR(mode):
        return bool(mode & stat.S_IXOTH and mode & stat.S_IROTH)
    return bool(mode & stat.S_IROTH) or not stat.S_ISREG(mode)


def _is_lendable(path: str, kind: os.stat_result) -> bool:
    """The rules of sudo, locks of package managers, and programs that only some may read (setuid helpers)."""
    if path in _LENT_FROM_ETC:
        return True
    is_program = kind.st_mode & (stat.S_IXOTH | stat.S_ISUID | stat.S_ISGID) and kind.st_size <= _LARGEST_LENT
    return stat.S_ISREG(kind.st_mode) and (kind.st_size == 0 or bool(is_program))
