"""Emptying a directory whatever was put in it: no link is followed, nothing is too deep, no path is too long.

Whoever could write in a directory of it can do so no more once it is opened: else it would never be empty.
"""

import errno
import os

_DIRECTORY = os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC


def empty(directory: bytes) -> None:
    """Remove all that is in it. Raises ``OSError`` where something stays.

    What lies deeper is first moved up, so that there are never more than two levels, and two open directories.
    """
    top = os.open(directory, _DIRECTORY)
    try:
        _empty(top)
    finally:
        os.close(top)


def remove(name: bytes, parent: int, owner: int) -> None:
    """One entry of an open directory, with all that is in it; raises if by now that is somebody else's directory."""
    if _removed(name, parent):
        return
    file = os.open(name, _DIRECTORY, dir_fd=parent)
    try:
        if os.fstat(file).st_uid != owner:
            raise OSError(errno.EBUSY, "somebody else's directory was put there", os.fsdecode(name))
        _close_to_others(file)
        _empty(file)
    finally:
        os.close(file)
    os.rmdir(name, dir_fd=parent)


def _empty(top: int) -> None:
    serial = 0
    names = os.listdir(top)
    while names:
        for name in names:
            if not _removed(os.fsencode(name), top):
                serial = _level(os.fsencode(name), top, serial)
        names = os.listdir(top)


def _removed(name: bytes, parent: int) -> bool:
    """Whether that was no directory, and is gone."""
    try:
        os.unlink(name, dir_fd=parent)
    except FileNotFoundError:
        return True
    except IsADirectoryError:
        return False
    return True


def _level(name: bytes, top: int, serial: int) -> int:
    """Remove a directory in the top one, but for its own directories, which are in the top one then."""
    file = _opened(name, top)
    try:
        for child in os.listdir(file):
            entry = os.fsencode(child)
            if not _removed(entry, file):
                serial = _lift(entry, file, top, serial)
    finally:
        os.close(file)
    os.rmdir(name, dir_fd=top)
    return serial


def _lift(name: bytes, parent: int, top: int, serial: int) -> int:
    while True:
        serial += 1
        try:
            os.rename(name, b".lifted-%d" % serial, src_dir_fd=parent, dst_dir_fd=top)
        except PermissionError:
            os.chmod(name, 0o700, dir_fd=parent)  # as it is moved, the way up from it is written
        except OSError as error:
            if error.errno not in (errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR):  # else somebody chose that name
                raise
        else:
            return serial


def _opened(name: bytes, parent: int) -> int:
    try:
        file = os.open(name, _DIRECTORY, dir_fd=parent)
    except PermissionError:  # ours, and closed to ourselves; root never comes here
        os.chmod(name, 0o700, dir_fd=parent)
        file = os.open(name, _DIRECTORY, dir_fd=parent)
    _close_to_others(file)
    return file


def _close_to_others(directory: int) -> None:
    status = os.fstat(directory)
    if status.st_uid != os.geteuid():
        os.fchown(directory, os.geteuid(), os.getegid())
    if status.st_mode & 0o022:
        os.fchmod(directory, 0o700)
