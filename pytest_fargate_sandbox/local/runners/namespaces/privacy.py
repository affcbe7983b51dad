"""What of the host no task may see: the rules, apart from how they are put into effect."""

from __future__ import annotations

import os
import stat
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

PROGRAMS = frozenset({"bin", "sbin", "lib", "lib32", "lib64", "libx32", "usr", "opt", "nix", "gnu"})
"""What stands at the top of the host's root and is shown. ``/etc`` and ``/var`` are shown in part, the rest is not."""

VAR_LIB = frozenset({"alternatives", "apk", "apt", "dpkg", "pacman", "python", "rpm", "texmf", "ucf"})
"""What of ``/var/lib`` is shown: which packages are installed. All else there belongs to services."""

_KEPT_UNREADABLE = frozenset({"sudoers", "sudoers.d"})
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
_DEPTH_OF_PROGRAMS = 3


def private_in_etc() -> Iterator[str]:
    return _private_below("/etc", depth=20, names=_PRIVATE_IN_ETC)


def private_among_programs() -> Iterator[str]:
    """Where administrators put things of their own. Root sees through modes, so they are looked at here."""
    for directory in ("/opt", "/usr/local"):
        yield from _private_below(directory, depth=_DEPTH_OF_PROGRAMS, names=frozenset())


def _private_below(directory: str, *, depth: int, names: frozenset[str]) -> Iterator[str]:
    """The uppermost paths that not everybody on the host may read, or whose name says enough."""
    try:
        entries = list(os.scandir(directory))
    except OSError:
        return
    for entry in entries:
        if entry.is_symlink():
            continue
        if entry.name in names or entry.name in _PRIVATE_ANYWHERE or not _is_public(entry):
            if entry.name not in _KEPT_UNREADABLE:
                yield entry.path
        elif entry.is_dir() and depth > 1:
            yield from _private_below(entry.path, depth=depth - 1, names=frozenset())


def _is_public(entry: os.DirEntry[str]) -> bool:
    mode = entry.stat(follow_symlinks=False).st_mode
    if stat.S_ISDIR(mode):
        return bool(mode & stat.S_IXOTH and mode & stat.S_IROTH)
    # A program that only some may read (sudo's plug-ins, setuid helpers) is no secret.
    return bool(mode & (stat.S_IROTH | stat.S_IXOTH | stat.S_ISUID | stat.S_ISGID)) or not stat.S_ISREG(mode)
