"""A process of ours, as small as can be, whose only work is to bear the commands of tenants.

A process is copied to bear one of another user, and what the copy shares is paid for when either writes to it: the
server is large and busy. This one is small and does nothing else, and what can be done before the copy is made is done
before: a copy of Python writes even to what it only reads. Its children are the server's, not its own
(CLONE_PARENT in clone(2)), which waits for them and knows them.

A request is a line of numbers and its strings, with three descriptors for the child and one to which the child writes
why it could not become its program. The answer is the child's number, or that of an error below zero.
"""

import array
import ctypes
import fcntl
import os
import resource
import signal
import socket
import struct
import sys
import termios

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import NoReturn

HEAD = struct.Struct("=7I")
"""Bytes of the strings, arguments, variables, uid, mark, most processes, and whether stdin becomes its terminal."""

ANSWER = struct.Struct("=i")
FOR_CHILD = 4
"""Descriptors; those that follow are of namespaces, in the order in which they are entered."""
_MOST_NAMESPACES = 6
_ROOM = socket.CMSG_SPACE((FOR_CHILD + _MOST_NAMESPACES) * 4)
_FLAGS = int(socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC)

# https://github.com/torvalds/linux/blob/v6.1/arch/x86/entry/syscalls/syscall_64.tbl and asm-generic/unistd.h
_CLONE = {"x86_64": 56, "aarch64": 220}
_CLONE_PARENT = 0x8000
_KEYCTL = {"x86_64": 250, "aarch64": 219}
_JOIN_SESSION_KEYRING = 1
_SET_NO_NEW_PRIVS = 38
_NICE = 5
"""Below the server, which shares the container's CPU with a crowd that it is to end."""

_libc = ctypes.PyDLL(None, use_errno=True)  # which holds on to the interpreter's lock, so the child has it too
_libc.syscall.restype = ctypes.c_long
_syscall = _libc.syscall
_BEAR = [ctypes.c_long(each) for each in (_CLONE[os.uname().machine], _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)]
_JOIN = [ctypes.c_long(each) for each in (_KEYCTL[os.uname().machine], _JOIN_SESSION_KEYRING, 0, 0, 0, 0)]


def main(server: socket.socket) -> None:
    """Until the server is gone."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    has_key_rings = _settle()
    while True:
        request = _receive(server)
        if request is None:
            return
        birth = _Birth(*request)
        answer = _bear()
        if answer == 0:
            birth.become(server, has_key_rings)
        for file in birth.files:
            os.close(file)
        if answer < 0 or not birth.namespaces:  # else the child has one of its own to tell of
            server.sendall(ANSWER.pack(answer))


def _settle() -> bool:
    """What all children have from us; whether there are rings of keys here, which filters forbid as a rule."""
    if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "no_new_privs")
    if not os.path.ismount("/dev/mqueue"):  # where one cannot see the queues, none are made
        resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
    return int(_syscall(*_JOIN)) >= 0


def _bear() -> int:
    """The number of a new child of the server's, or of an error below zero; zero in the child."""
    pid = int(_syscall(*_BEAR))
    return pid if pid >= 0 else -ctypes.get_errno()


def _receive(server: socket.socket) -> "tuple[tuple[int, ...], list[bytes], list[int]] | None":
    first, ancillary, _, _ = server.recvmsg(HEAD.size, _ROOM, _FLAGS)
    if len(first) < HEAD.size:
        return None
    files = array.array("i")
    for level, kind, data in ancillary:
        if (level, kind) == (socket.SOL_SOCKET, socket.SCM_RIGHTS):
            files.frombytes(data)
    head = HEAD.unpack(first)
    text = bytearray()
    while len(text) < head[0]:
        text += server.recv(min(head[0] - len(text), 1 << 20))
    return head, bytes(text).split(b"\0"), list(files)


class _Birth:
    """One request, taken apart before the child is there."""

    def __init__(self, head: "tuple[int, ...]", strings: "list[bytes]", files: "list[int]") -> None:
        _, arguments, _, self._uid, mark, self._most, self._has_terminal = head
        self._mark = b"%d" % mark
        self._directory = strings[0]
        self._words = strings[1 : 1 + arguments]
        variables = strings[1 + arguments :]
        self._environment = dict(variable.split(b"=", 1) for variable in variables if variable)
        self._run = os.execve if b"/" in self._words[0] else os.execvpe
        self.files = files
        self.namespaces = files[FOR_CHILD:]

    def become(self, server: socket.socket, has_key_rings: bool) -> "NoReturn":
        """In the child, which comes no further than this."""
        uid, files = self._uid, self.files
        step = b"user"
        try:
            score = os.open("/proc/self/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
            os.write(score, self._mark)
            os.nice(_NICE)
            resource.setrlimit(resource.RLIMIT_NPROC, (self._most, self._most))
            os.dup2(files[0], 0)
            os.dup2(files[1], 1)
            os.dup2(files[2], 2)
            os.setgroups([uid])
            os.setresgid(uid, uid, uid)
            if self.namespaces:
                _enter(self.namespaces, uid, server)
            os.setsid()
            os.setresuid(uid, uid, uid)
            if has_key_rings:  # one that no neighbour has too
                _syscall(*_JOIN)
            if self._has_terminal:
                fcntl.ioctl(0, termios.TIOCSCTTY, 0)
            step = b"cwd"
            os.chdir(self._directory)
            step = b"program"
            self._run(self._words[0], self._words, self._environment)
        except OSError as error:
            os.write(files[3], b"%s %d" % (step, error.errno or 0))
        finally:
            os._exit(127)


def _enter(namespaces: "list[int]", uid: int, server: socket.socket) -> None:
    """What returns from here is a child that was born in them.

    Who owns namespaces may enter them, so this acts as him; and as the server waits for its answer, he must not be able
    to signal it: its real uid is ours.
    """
    try:
        os.setresuid(0, uid, 0)
        for file in namespaces:
            if _libc.setns(file, 0) != 0:
                raise OSError(ctypes.get_errno(), "setns")
        answer = _bear()
    except OSError as error:
        answer = -(error.errno or 1)
    if answer != 0:
        server.sendall(ANSWER.pack(answer))
        os._exit(0)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
