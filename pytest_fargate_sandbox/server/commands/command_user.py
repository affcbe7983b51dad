"""Who a command runs as."""

import os
import re

from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import encoded

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

    from pytest_fargate_sandbox.server.commands.process_tree import ProcessTree


_NUMBER = re.compile(r"[0-9]{1,10}\Z")
_LARGEST = 2**32 - 2
"""The next is -1, with which the kernel means nobody."""


class CommandUser:
    """A user with all its groups, by name or by number, as in ``docker run --user``: ``user`` or ``user:group``."""

    births: "Any" = None
    """Where his commands come from, if not from us: ``slots.births.Births``."""

    def __init__(self, text: str) -> None:
        user, colon, group = text.partition(":")
        entry = _user_entry(user)
        if entry is None and not _is_number(user):
            raise Failure("unknown_user", "there is no user %r in this container" % user)
        self.uid = int(user) if entry is None else entry.pw_uid
        self.gid = _group_number(group) if colon else (self.uid if entry is None else entry.pw_gid)
        self.home = "/" if entry is None else entry.pw_dir
        self.name = user if entry is None else entry.pw_name
        self.shell = "/bin/sh" if entry is None else (entry.pw_shell or "/bin/sh")
        self.groups = [self.gid]
        if entry is not None and not colon:
            self.groups = os.getgrouplist(entry.pw_name, self.gid)
        self._refuse_what_takes_root(text)

    def _refuse_what_takes_root(self, text: str) -> None:
        if os.geteuid() != 0 and (self.uid, self.gid) != (os.geteuid(), os.getegid()):
            sentence = "to run a command as %s takes root, and this container runs as uid %d" % (text, os.geteuid())
            raise Failure("permission", sentence)
        if not (exists_here(self.uid, "uid_map") and exists_here(self.gid, "gid_map")):
            sentence = "to run a command as %s takes an engine that runs as root: this one has no user but root" % text
            raise Failure("permission", sentence)

    def namespaces(self) -> "tuple[int, ...]":
        """Descriptors of those that his commands are born into, if not into ours."""
        return ()

    @property
    def is_ours(self) -> bool:
        return os.geteuid() != 0

    def environment(self) -> "dict[bytes, bytes]":
        names = {"HOME": self.home, "USER": self.name, "LOGNAME": self.name, "SHELL": self.shell}
        return {encoded(name): encoded(value) for name, value in names.items()}

    def has_begun(self, tree: "ProcessTree") -> None:
        """A command of his runs, with these processes."""

    def become(self) -> None:
        """In the child: for good."""
        os.setgroups(self.groups)
        os.setresgid(self.gid, self.gid, self.gid)
        os.setresuid(self.uid, self.uid, self.uid)


def exists_here(number: int, table: str) -> bool:
    """Whether our user namespace has it: that of an engine without root holds a single user."""
    try:
        with open("/proc/self/" + table) as file:
            ranges = [[int(word) for word in line.split()] for line in file]
    except (OSError, ValueError):
        return True
    return any(first <= number < first + count for first, _, count in ranges)


def _is_number(text: str) -> bool:
    return _NUMBER.match(text) is not None and int(text) <= _LARGEST


def _user_entry(user: str) -> "Any":
    import pwd

    try:
        return pwd.getpwuid(int(user)) if _is_number(user) else pwd.getpwnam(os.fsdecode(encoded(user)))
    except KeyError:
        return None


def _group_number(group: str) -> int:
    if _is_number(group):
        return int(group)
    import grp

    try:
        return grp.getgrnam(os.fsdecode(encoded(group))).gr_gid
    except KeyError:
        raise Failure("unknown_user", "there is no group %r in this container" % group) from None
