"""Which isolation slots have here: the best that can be had, or the one that is required."""

import os

from pytest_fargate_sandbox.server.commands.command_user import exists_here
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.slots.ground import Ground
from pytest_fargate_sandbox.server.work_dir import find_work_dir

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.commands.reaper import Reaper
    from pytest_fargate_sandbox.server.slots.births import Births
    from pytest_fargate_sandbox.server.slots.bubblewrap import Bubblewrap
    from pytest_fargate_sandbox.server.slots.shared_places import SharedPlaces
    from pytest_fargate_sandbox.server.slots.shortage import Watch

_ROOT = b"/slots"
_FIRST_UID = 10000
_LAST_OF_FEW = 60000
"""Up to which there are users wherever there are any but root."""

_LAST_UID = 2000000
"""The largest that an old tar can write down."""

_UIDS = 512
_KEPT_FOR_US = 64
"""Processes and threads that the server can have, whatever the tenants do."""
_MOST_PROCESSES = 512


class Grounds:
    """Makes the ground of each slot."""

    def __init__(self, isolation: str, reaper: "Reaper") -> None:
        self._births: "Births | None" = None
        self._places: "SharedPlaces | None" = None
        self._bubblewrap: "Bubblewrap | None" = None
        self.isolation, self.why = self._best(isolation, reaper)
        if isolation and self.isolation != isolation:
            raise Failure("no_isolation", "slots of isolation %r are not to be had here: %s" % (isolation, self.why))
        self._root = _new_root()
        self.make: "Callable[[int], Ground]" = self._bare if self.isolation == "none" else self._of_users()

    def _best(self, wanted: str, reaper: "Reaper") -> "tuple[str, str]":
        """The best that can be had, or what is wanted; and why it is no better."""
        why = why_not_user()
        if why or wanted == "none":
            return "none", why
        from pytest_fargate_sandbox.server.slots.births import Births

        self._births = Births()
        if wanted == "user":
            return "user", ""
        from pytest_fargate_sandbox.server.slots.bubblewrap import Bubblewrap

        bubblewrap = Bubblewrap(self._births, reaper)
        why = bubblewrap.why_not(_unused_uids()[0])
        if why:
            return "user", why
        self._bubblewrap = bubblewrap
        return "namespace", ""

    def expect(self, count: int) -> None:
        """There are to be so many, who share what processes there can be."""
        if self._births:
            self._births.most = processes_for_each(max(1, count))

    def watch(self, tenants: "Callable[[], dict[str, Any]]", evict: "Callable[[str, str], None]") -> "Watch | None":
        """Who sees to it that no tenant takes all of what is shared, where it can be told who has what."""
        if self._places is None:
            return None
        from pytest_fargate_sandbox.server.slots.shortage import Watch

        return Watch(self._places, self._root, tenants, evict)

    def _bare(self, number: int) -> Ground:
        return Ground(number, self._root)

    def _of_users(self) -> "Callable[[int], Ground]":
        from pytest_fargate_sandbox.server.slots.namespace_ground import NamespaceGround
        from pytest_fargate_sandbox.server.slots.shared_places import SharedPlaces
        from pytest_fargate_sandbox.server.slots.user_ground import UserGround

        uids = _unused_uids()
        self._places = places = SharedPlaces(without=self._root, tenants=uids, spools=find_work_dir() or self._root)
        births, bubblewrap = self._births, self._bubblewrap
        assert births

        def ground(number: int) -> Ground:
            made: Ground = UserGround(number, self._root, uids, births, places)
            if bubblewrap:
                made = NamespaceGround(number, self._root, uids, births, places, bubblewrap)
            if self._root == _ROOT:
                _make_known(made)
            return made

        return ground


def why_not_user() -> str:
    """What is in the way of a user for each slot."""
    try:
        from pytest_fargate_sandbox.server.thread_rights import why_not
    except ImportError:
        return 'the Python of this image has no ctypes (runtime="sidecar" brings one that has)'
    if not (exists_here(_LAST_OF_FEW, "uid_map") and exists_here(_LAST_OF_FEW, "gid_map")):
        return "this container has no user but root"
    return why_not()


def processes_for_each(count: int) -> int:
    """The container's bound on processes in fair shares, with some for the server: else it could not fork any more."""
    most = _bound_on_processes()
    return max(8, min(_MOST_PROCESSES, (most - _KEPT_FOR_US) // count)) if most else _MOST_PROCESSES


def _bound_on_processes() -> int:
    for path in ("/sys/fs/cgroup/pids.max", "/sys/fs/cgroup/pids/pids.max"):
        if os.path.exists(path):
            with open(path) as file:
                text = file.read().strip()
            return int(text) if text.isdigit() else 0
    return 0


def _unused_uids() -> range:
    """Numbers of nobody here, and by chance of nobody on the machine below: the kernel counts a number's processes over
    all containers that share it (RLIMIT_NPROC in getrlimit(2)), where they have no user namespace of their own.
    """
    import pwd

    known = {entry.pw_uid for entry in pwd.getpwall()}
    last = _LAST_UID if exists_here(_LAST_UID, "uid_map") and exists_here(_LAST_UID, "gid_map") else _LAST_OF_FEW
    places = (last - _FIRST_UID) // _UIDS
    chosen = int.from_bytes(os.urandom(4), "big")
    for offset in range(places):
        first = _FIRST_UID + (chosen + offset) % places * _UIDS
        if not known & set(range(first, first + _UIDS)):
            return range(first, first + _UIDS)
    raise Failure("no_space", "no %d numbers of users in a row are free in this container" % _UIDS)


def _make_known(ground: Ground) -> None:
    """Many programs will not run for a user without a name. Where these files cannot be written, he has none."""
    user = "%s:x:%d:%d::%s:/bin/sh\n" % (ground.user, ground.uid, ground.gid, ground.home)
    for path, line in (("/etc/passwd", user), ("/etc/group", "%s:x:%d:\n" % (ground.user, ground.gid))):
        if os.access(path, os.W_OK):
            with open(path, "a") as file:
                file.write(line)


def _new_root() -> bytes:
    """Where the slots lie: in a directory of ours that nobody else can list."""
    if os.getpid() == 1:  # else it is no container, and would not go with us
        try:
            os.mkdir(_ROOT, 0o711)
            os.chmod(_ROOT, 0o711)
            return _ROOT
        except OSError:
            pass
    work_dir = find_work_dir()
    if work_dir is None:
        raise Failure("no_space", "no directory of this container can be written, so it has no place for slots")
    path = os.path.join(work_dir, b"slots")
    os.makedirs(path, 0o711, exist_ok=True)
    os.chmod(path, 0o711)
    return path
