"""Namespaces of a tenant's own, made by bubblewrap where the image has it and the kernel lets a user have them.

bubblewrap holds them, with nothing in them but its own first process and one that waits: each command is born into them
(``birther``), and what it leaves running lives on there, until the holder dies with all else that is the tenant's.
"""

import json
import os
import shutil
import threading
import time

from pytest_fargate_sandbox.server.commands.command_user import CommandUser
from pytest_fargate_sandbox.server.commands.spawning import Program
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.slots.births import is_readable
from pytest_fargate_sandbox.server.thread_rights import as_owner_of_processes

TYPE_CHECKING = False
if TYPE_CHECKING:
    from pytest_fargate_sandbox.server.commands.reaper import Reaper
    from pytest_fargate_sandbox.server.slots.births import Births

_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_PATIENCE_SEC = 20.0
_KINDS = ("user", "mnt", "ipc", "uts", "pid")
"""In the order in which they are entered: the first gives the right to the others."""

_NEW_PROC, _OLD_PROC = ["--proc", "/proc"], ["--bind", "/proc", "/proc"]
"""Where parts of /proc are masked, as in podman's containers, the kernel lets no user mount another:
https://github.com/torvalds/linux/blob/v6.1/fs/namespace.c (mount_too_revealing)"""

_SHARED_MEMORY = ["--size", str(64 << 20)]
"""As much as a container has: nobody can be told to have what lies in there."""

_READY = b"ready\n"
"""What is said by who waits in there, since that is said to him."""

_BEGIN = 'program=$1; shift; exec "$program" --info-fd 3 "$@" 3>&1'


class _Holding(CommandUser):
    """As whom bubblewrap runs."""

    def __init__(self, uid: int) -> None:
        self.uid = uid


class Bubblewrap:
    def __init__(self, births: "Births", reaper: "Reaper") -> None:
        self._births = births
        self._reaper = reaper
        self._program = shutil.which("bwrap", path=_PATH)
        self._proc = _NEW_PROC
        self._size = _SHARED_MEMORY

    def why_not(self, uid: int) -> str:
        """What is in the way of namespaces for users, which is found by having some; nothing, if nothing is."""
        if not self._program:
            return "there is no bubblewrap (bwrap) in this image"
        why = self._why_not(uid, _NEW_PROC)
        if why.endswith(" --size"):  # an option that came with bubblewrap 0.8
            self._size = []
            why = self._why_not(uid, _NEW_PROC)
        return why and self._why_not(uid, _OLD_PROC)

    def _why_not(self, uid: int, proc: "list[str]") -> str:
        self._proc = proc
        try:
            holder = Holder(self, uid, [], has_network=False)
            try:
                holder.namespaces()
            finally:
                holder.close()
        except Failure as failure:
            return failure.message
        return ""

    def begin(self, uid: int, writable: "list[str]", has_network: bool, streams: "tuple[int, int, int]") -> None:
        """As little as can be is shared; what is the machine's is there to be read."""
        assert self._program
        options = ["--unshare-user", "--unshare-pid", "--unshare-ipc", "--unshare-uts", "--unshare-cgroup-try"]
        options += [] if has_network else ["--unshare-net"]
        options += [
            "--ro-bind",
            "/",
            "/",
            "--dev-bind",
            "/dev",
            "/dev",
            *self._size,
            "--tmpfs",
            "/dev/shm",
            *self._proc,
        ]
        if os.path.ismount("/dev/mqueue"):
            options += ["--mqueue", "/dev/mqueue"]
        for path in writable:
            options += ["--bind", path, path]
        words = ["/bin/sh", "-c", _BEGIN, "sh", self._program, *options, "--", "cat"]
        arguments = [os.fsencode(word) for word in words]
        program = Program(arguments, {b"PATH": os.fsencode(_PATH)}, b"/", _Holding(uid))
        self._births.spawn(program, _own_mark(), streams, self._reaper, lambda _status: None)


class Holder:
    """Keeps them for one lease. They come up by themselves: who wants the first of them waits for that."""

    def __init__(self, bubblewrap: Bubblewrap, uid: int, writable: "list[str]", has_network: bool) -> None:
        self._uid = uid
        self._kinds = _KINDS if has_network else (*_KINDS, "net")
        self._turn = threading.Lock()
        self._namespaces: "tuple[int, ...]" = ()
        self._failure: "Failure | None" = None
        stdin, hold = os.pipe()
        self._told, stdout = os.pipe()
        self._files = [hold, self._told]
        try:
            os.write(hold, _READY)
            bubblewrap.begin(uid, writable, has_network, (stdin, stdout, stdout))
        except Failure:
            self.close()
            raise
        finally:
            os.close(stdin)
            os.close(stdout)

    def namespaces(self) -> "tuple[int, ...]":
        """Descriptors of them, in the order in which they are entered."""
        with self._turn:
            if self._failure:
                raise self._failure
            try:
                self._namespaces = self._namespaces or self._found()
            except Failure as failure:
                self._failure = failure
                raise
            return self._namespaces

    def _found(self) -> "tuple[int, ...]":
        try:
            found = _open_namespaces(_child_of(_pid_told_by(self._told)), self._uid, self._kinds)
        except OSError as error:
            raise Failure("no_isolation", "its namespaces cannot be entered: %s" % error) from None
        self._files.remove(self._told)  # a tenant may speak there
        os.close(self._told)
        self._files += found
        return found

    def close(self) -> None:
        """What still runs in them keeps them."""
        with self._turn:
            self._failure = Failure("slot_gone", "the namespaces of this slot are gone")
            files, self._files = self._files, []
        for file in files:
            os.close(file)


def _pid_told_by(file: int) -> int:
    """bubblewrap says the number of its first process, and who waits in there says that all is set up."""
    end = time.monotonic() + _PATIENCE_SEC
    said = b""
    while not said.endswith(_READY):
        is_there = is_readable(file, max(0.0, end - time.monotonic()))
        data = os.read(file, 4096) if is_there else b""
        if not data:
            words = said[said.find(b"bwrap: ") :].decode("utf-8", "replace").strip() or "bwrap says nothing"
            raise Failure("no_isolation", words)
        said += data
    return int(json.loads(said[: -len(_READY)].decode("utf-8"))["child-pid"])


def _child_of(parent: int) -> int:
    """Who waits in there: into bubblewrap itself nobody may look."""
    for name in filter(str.isdigit, os.listdir("/proc")):
        if _parent_of(name) == parent:
            return int(name)
    raise Failure("no_isolation", "what holds the namespaces has ended")


def _parent_of(pid: str) -> int:
    try:
        with open("/proc/%s/stat" % pid) as file:
            return int(file.read().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def _open_namespaces(pid: int, uid: int, kinds: "tuple[str, ...]") -> "tuple[int, ...]":
    """As their owner, who may do so: https://man7.org/linux/man-pages/man7/user_namespaces.7.html (Capabilities)"""
    with as_owner_of_processes(uid, 0):
        return tuple(os.open("/proc/%d/ns/%s" % (pid, kind), os.O_RDONLY | os.O_CLOEXEC) for kind in kinds)


def _own_mark() -> int:
    """Below those of commands, to none of which it belongs (``commands.process_tree.Marks``)."""
    with open("/proc/self/oom_score_adj") as file:
        return max(int(file.read()), 0) + 100
