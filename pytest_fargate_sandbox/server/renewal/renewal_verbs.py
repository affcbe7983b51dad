"""What a server that has learnt of renewal answers about it."""

import os
import threading

from pytest_fargate_sandbox.server.commands.process_tree import AllProcesses
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import Nothing
from pytest_fargate_sandbox.server.renewal.inventory import Inventory, NotAsBefore
from pytest_fargate_sandbox.server.renewal.renewal_protocol import NoteStart, Renew, Renewed
from pytest_fargate_sandbox.server.slots.emptying import remove

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, Callable

    from pytest_fargate_sandbox.server.message import Message
    from pytest_fargate_sandbox.server.requests.exchange import Exchange
    from pytest_fargate_sandbox.server.requests.verbs import Verbs

_KILL_SEC = 5.0
_IPC = {"shm": b"shmid", "sem": b"semid", "msg": b"msqid"}


def requests(verbs: "Verbs") -> "list[tuple[type[Message], Callable[[Exchange, Any], None]]]":
    """Each request with who answers it."""
    renewal = Renewal(verbs.commands.work_dir)

    def note_start(exchange: "Exchange", _request: NoteStart) -> None:
        renewal.note_start()
        exchange.answer(Nothing())

    def renew(exchange: "Exchange", request: Renew) -> None:
        exchange.answer(renewal.renew(request.begin, request.wait))

    return [(NoteStart, note_start), (Renew, renew)]


class Renewal:
    """It goes on by itself: who has asked for it need not wait, and who comes next asks what has become of it."""

    def __init__(self, work_dir: "bytes | None") -> None:
        self._work_dir = work_dir
        self._lock = threading.Lock()
        self._inventory: "Inventory | None" = None
        self._work: "threading.Thread | None" = None
        self._why_not = ""

    def note_start(self) -> None:
        with self._lock:
            if self._work_dir is None:
                raise Failure("no_renewal", "the server has no directory of its own here")
            if self._inventory is None:
                try:
                    self._inventory = Inventory(self._work_dir)
                except OSError as error:
                    raise Failure.of_os_error(error, os.fsdecode(error.filename or b"")) from None

    def renew(self, begin: bool, wait: float) -> Renewed:
        with self._lock:
            inventory = self._inventory
            if inventory is None:
                raise Failure("no_renewal", "nobody has noted what the container was like")
            if begin and not (self._work and self._work.is_alive()):
                self._work = threading.Thread(target=self._run, args=(inventory,), name="renewal", daemon=True)
                self._work.start()
            work = self._work
        if work is None:
            return Renewed(done=True, why_not="nobody has begun to make it as new")
        work.join(wait)
        return Renewed(done=False) if work.is_alive() else Renewed(done=True, why_not=self._why_not)

    def _run(self, inventory: Inventory) -> None:
        try:
            self._why_not = _what_is_left(inventory)
        except Exception as error:
            self._why_not = "%s: %s" % (type(error).__name__, error)


def _what_is_left(inventory: Inventory) -> str:
    """Of all that commands have left, what cannot be taken away: a sentence, or nothing."""
    processes = AllProcesses()
    processes.kill(_KILL_SEC)
    left = processes.members()
    if left:
        return "%d processes do not end" % len(left)
    _remove_ipc()
    if _ipc_objects():
        return "objects of System V's IPC cannot be removed"
    try:
        for path in inventory.added():
            _remove(path)
    except (NotAsBefore, OSError) as reason:
        return str(reason)
    return ""


def _remove(path: bytes) -> None:
    directory, name = os.path.split(path)
    try:
        parent = os.open(directory, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    except FileNotFoundError:  # it has gone by itself
        return
    try:
        remove(name, parent, os.stat(name, dir_fd=parent, follow_symlinks=False).st_uid)
    except FileNotFoundError:
        return
    except OSError as error:  # which may name what is in it, and without where that was
        raise OSError(error.errno, error.strerror, os.fsdecode(path)) from None
    finally:
        os.close(parent)


def _ipc_objects() -> "list[tuple[str, int, int]]":
    """Each with its kind and its maker's uid."""
    found = []
    for kind, column in _IPC.items():
        try:
            with open("/proc/sysvipc/" + kind, "rb", buffering=0) as file:
                table = [line.split() for line in file.readall().splitlines()]
        except OSError:  # a kernel without them
            continue
        rows = [dict(zip(table[0], line)) for line in table[1:]]
        found += [(kind, int(row[column]), int(row[b"cuid"])) for row in rows]
    return found


def _remove_ipc() -> None:
    objects = _ipc_objects()
    if objects:  # else neither ctypes nor root is wanted
        from pytest_fargate_sandbox.server.thread_rights import as_owner_of_processes, remove_ipc

        for kind, number, uid in objects:
            with as_owner_of_processes(uid, 0):
                remove_ipc(kind, number)
