"""The image ``host``: this machine's own programs, copy on write, without what is private of it.

As root the host's root is the overlay's lowest layer, read with the eyes of its user ``nobody`` (``container_layers``),
and above it lies one made here: an opaque directory or a whiteout for each thing that must not even show, and a copy
of what is no secret although nobody may read it. So what is hidden is simply not there, and no mount can be taken off.
Without root the kernel refuses ``/`` as a layer: the programs are bound read-only, and ``/etc`` is copied.
"""

from __future__ import annotations

import os
import shutil
import stat
import sys
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces import privacy
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import NOTHING, Bind
from pytest_fargate_sandbox.local.runners.namespaces.mount_table import file_system_at, mount_points

if TYPE_CHECKING:
    from collections.abc import Iterable

_STANDARD = ("boot", "dev", "home", "media", "mnt", "proc", "root", "run", "srv", "sys", "tmp")
_STACKED = frozenset({"overlay", "ecryptfs"})
"""As the host's root (we are in a container then) they leave room for one overlay above them and not for two, by the
kernel's FILESYSTEM_MAX_STACK_DEPTH. What ``nobody`` may not read is searched for to the bottom there, and hidden."""
_MOST_SPLIT = 500
"""Entries in one directory. Each becomes a mount, which takes a tenth of a millisecond in every container."""
_DEFAULT_MODES = {"root": 0o755, "tmp": 0o1777, "run": 0o755, "proc": 0o555, "sys": 0o555, "dev": 0o755}


class HostLayers:
    """What stands for ``/`` in a list of an image's directories."""

    def __init__(
        self, directories: tuple[str, ...], binds: tuple[Bind, ...], programs: str | None, *, as_nobody: bool = False
    ) -> None:
        self.directories = directories
        self.binds = binds
        self.as_nobody = as_nobody
        """Whether ``/`` among the directories is to be read as ``nobody`` of the host reads it."""
        self.interpreter_path = programs
        """Where ``python3`` is, if it is none of the system's: it goes in front of the default PATH."""


def copy_on_write_host(directory: Path) -> HostLayers:
    """As root. ``directory`` is where the hiding layer is made."""
    layer = _new_layer(directory)
    _make_directory(directory / NOTHING, 0o755)
    for entry in os.scandir("/"):
        if entry.name in privacy.PROGRAMS or entry.name in ("etc", "var") or entry.is_symlink():
            continue
        if entry.name in _STANDARD:
            _hide(layer, entry.path)
        else:
            _white_out(layer / entry.name)
    as_nobody = file_system_at("/") not in _STACKED
    for path in _private_in_var():
        _hide(layer, path)
    for private in (
        *privacy.private_in_etc(),
        *privacy.private_among_programs(),
        *privacy.unreadable_in_system(to_the_bottom=not as_nobody),
    ):
        _hide_or_lend(layer, private)
    for name in _STANDARD:
        _make_directory(layer / name, _DEFAULT_MODES.get(name, 0o755))
    _lock_accounts(layer)
    _make_directory(layer / "var/tmp", 0o1777)
    interpreter = _private_interpreter()
    programs = [replace(bind, as_nobody=True, needed=True) for bind in _bind_interpreter(layer, interpreter)]
    binds = (*(Bind(at, at, as_nobody=True) for at in _separate_file_systems()), *programs)
    return HostLayers((str(layer), "/"), binds, _programs_of(interpreter), as_nobody=as_nobody)


def assembled_host(directory: Path) -> HostLayers:
    """Without root. ``directory`` is where the copy of ``/etc`` and the mount points are made."""
    layer = _new_layer(directory)
    programs = []
    for entry in os.scandir("/"):
        if entry.is_symlink():
            (layer / entry.name).symlink_to(Path(entry.path).readlink())
        elif entry.name in privacy.PROGRAMS:
            programs.append(entry.path)
    for name in _STANDARD:
        _make_directory(layer / name, _DEFAULT_MODES.get(name, 0o755))
    _copy_etc(layer / "etc")
    _make_single_user(layer / "etc/passwd")
    _lock_accounts(layer)
    for name in ("cache", "lib", "log", "mail", "opt", "spool"):
        _make_directory(layer / "var" / name, 0o755)
    _make_directory(layer / "var/tmp", 0o1777)
    points = tuple(point.path for point in mount_points())
    shown = (*programs, *(f"/var/lib/{name}" for name in privacy.VAR_LIB))
    binds = [bind for path in shown for bind in _overlaid(layer, path, points)]
    empty_directory, empty_file = _make_directory(directory / NOTHING, 0o555), directory / "empty"
    empty_file.touch(mode=0o444)
    private = _uppermost(privacy.private_among_programs(), privacy.own_among_programs())
    empty = {path: empty_directory if Path(path).is_dir() else empty_file for path in private}
    binds += [Bind(str(source), path, is_cover=True) for path, source in empty.items()]
    interpreter = _private_interpreter()
    binds += [replace(bind, overlaid=True) for bind in _bind_interpreter(layer, interpreter)]
    return HostLayers((str(layer),), tuple(binds), _programs_of(interpreter))


def _uppermost(*searches: Iterable[privacy.Private]) -> Iterable[str]:
    """What has to be hidden, without what is in it: where a directory is empty, nothing can be put over that."""
    hidden: set[str] = set()
    for path in sorted(private.path for search in searches for private in search if not private.is_lendable):
        if path not in hidden and hidden.isdisjoint(map(str, Path(path).parents)):
            hidden.add(path)
            yield path


def _overlaid(layer: Path, path: str, points: tuple[str, ...]) -> Iterable[Bind]:
    """``path`` as a layer of an overlay; where something is mounted below it, what is in it, each for itself.

    For who is not root would see by such a layer what the mount hides (``clone_private_mount`` in fs/namespace.c).
    """
    if not _may_read(path):
        return
    entries = list(os.scandir(path)) if any(point.startswith(path + "/") for point in points) else []
    if not 0 < len(entries) <= _MOST_SPLIT:
        yield Bind(path, path, overlaid=Path(path).is_dir())
        return
    _make_directory(layer / path.lstrip("/"), 0o755)
    for entry in entries:
        if entry.is_symlink():
            (layer / entry.path.lstrip("/")).symlink_to(Path(entry.path).readlink())
        else:
            yield from _overlaid(layer, entry.path, points)


def _new_layer(directory: Path) -> Path:
    layer = directory / "layer"
    _make_directory(layer, 0o755)
    directory.chmod(0o755)
    return layer


def _hide(layer: Path, path: str) -> None:
    """Make ``path`` of the layer below invisible: a directory is there, but empty; a file is not."""
    hidden = layer / path.lstrip("/")
    _make_parents(layer, hidden.parent)
    if not Path(path).is_dir():
        _white_out(hidden)
        return
    hidden.mkdir()
    _make_look_alike(path, hidden)
    os.setxattr(hidden, "trusted.overlay.opaque", b"y")


def _hide_or_lend(layer: Path, private: privacy.Private) -> None:
    """Once: of two walks that meet something, the first decides."""
    if os.path.lexists(layer / private.path.lstrip("/")):
        return
    try:
        if private.is_lendable:
            _lend(layer, Path(private.path))
        else:
            _hide(layer, private.path)
    except FileNotFoundError:  # it has just gone
        pass


def _lend(layer: Path, path: Path) -> None:
    copy = layer / path.relative_to("/")
    _make_parents(layer, copy.parent)
    if path.is_dir():
        copy.mkdir()
        for inner in path.iterdir():
            if inner.is_file():
                _lend(layer, inner)
    else:
        shutil.copyfile(path, copy, follow_symlinks=False)
    _make_look_alike(path, copy)


def _make_look_alike(path: str | Path, copy: Path) -> None:
    """Owner, times, attributes, and last the mode: a change of owner takes setuid away."""
    owner = os.lstat(path)
    os.chown(copy, owner.st_uid, owner.st_gid, follow_symlinks=False)
    shutil.copystat(path, copy, follow_symlinks=False)


def _white_out(hidden: Path) -> None:
    os.mknod(hidden, stat.S_IFCHR | 0o600, 0)


def _make_parents(layer: Path, directory: Path) -> None:
    """Directories that let what is below shine through, and so have its modes."""
    if directory == layer or directory.exists():
        return
    _make_parents(layer, directory.parent)
    directory.mkdir()
    _make_look_alike(Path("/") / directory.relative_to(layer), directory)


def _make_directory(directory: Path, mode: int) -> Path:
    directory.mkdir(parents=True, exist_ok=True)
    directory.chmod(mode)
    return directory


def _private_in_var() -> Iterable[str]:
    for entry in os.scandir("/var"):
        if entry.is_dir(follow_symlinks=False) and entry.name != "lib":
            yield entry.path
    for entry in os.scandir("/var/lib"):
        if entry.name not in privacy.VAR_LIB and not entry.is_symlink():
            yield entry.path


def _lock_accounts(layer: Path) -> None:
    """Programs that look into /etc/shadow (sshd, su, sudo) find every account there, each without a password."""
    for name, source, rest in (("shadow", "passwd", ":*:19000:0:99999:7:::\n"), ("gshadow", "group", ":*::\n")):
        lines = Path("/etc", source).read_text(encoding="utf-8", errors="replace").splitlines()
        names = [line.partition(":")[0] for line in lines if ":" in line]
        file = layer / "etc" / name
        _make_directory_like_host(file.parent)
        file.unlink(missing_ok=True)
        file.write_text("".join(account + rest for account in names))
        file.chmod(0o640)


def _make_directory_like_host(directory: Path) -> None:
    if not directory.exists():
        _make_directory(directory, 0o755)


def _copy_etc(target: Path) -> None:
    private = {private.path for private in privacy.private_in_etc() if not private.is_lendable}

    def ignored(directory: str, names: list[str]) -> list[str]:
        return [name for name in names if not _is_copied(Path(directory, name), private)]

    shutil.copytree("/etc", target, symlinks=True, ignore=ignored, dirs_exist_ok=True)


def _make_single_user(passwd: Path) -> None:
    """The account that sshd takes for its unprivileged half has to be one that there is, or it gives up."""
    lines = passwd.read_text(encoding="utf-8", errors="surrogateescape").splitlines()
    fields = [line.split(":") for line in lines]
    for account in fields:
        if account[0] == "sshd":
            account[2:4] = ["0", "0"]
    passwd.write_text("".join(":".join(account) + "\n" for account in fields), errors="surrogateescape")


def _is_copied(path: Path, private: set[str]) -> bool:
    if str(path) in private:
        return False
    if path.is_symlink():
        return True
    return _may_read(path)


def _may_read(path: str | Path) -> bool:
    """A directory or a regular file."""
    is_directory = Path(path).is_dir()
    return (is_directory or Path(path).is_file()) and os.access(path, os.R_OK | (os.X_OK if is_directory else 0))


def _separate_file_systems() -> Iterable[str]:
    """An overlay does not see what is mounted below its layer: programs that have a file system of their own."""
    return dict.fromkeys(point for point, _ in mount_points() if point.split("/")[1] in privacy.PROGRAMS)


def _private_interpreter() -> str | None:
    """The Python that runs us, if it stands where a task sees nothing: in a home (pyenv, uv), in /tmp, on a mount."""
    prefix = os.path.realpath(sys.base_prefix)
    if prefix == "/" or prefix.split("/")[1] in privacy.PROGRAMS:
        return None
    above_homes = {"/", "/home", "/root", os.path.realpath(Path.home())}
    return None if prefix in above_homes else prefix


def _bind_interpreter(layer: Path, interpreter: str | None) -> tuple[Bind, ...]:
    """At the same path, whose directories everybody in the task may pass."""
    if interpreter is None:
        return ()
    place = layer
    for part in interpreter.strip("/").split("/"):
        place = place / part
        if not place.exists():
            _make_directory(place, 0o755)
    return (Bind(interpreter, interpreter),)


def _programs_of(interpreter: str | None) -> str | None:
    return f"{interpreter}/bin" if interpreter else None
