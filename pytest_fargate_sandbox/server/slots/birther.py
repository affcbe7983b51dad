"""A process of ours, as small as can be, whose only work is to bear the commands of tenants.

A process is copied to bear one of another user, and what the copy shares is paid for when either writes to it: the
server is large and busy. This one is small and does nothing else. Its children are the server's, not its own
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

HEAD = struct.Struct("=7I")
"""Bytes of the strings, arguments, variables, uid, mark, most processes, and whether stdin becomes its terminal."""

ANSWER = struct.Struct("=i")
FOR_CHILD = 4
"""Descriptors; those that follow are of namespaces, in the order in which they are entered."""
_MOST_NAMESPACES = 6

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


def main(server: socket.socket) -> None:
    """Until the server is gone."""
    signal.signal(signal.SIGPIPE, signal.SIG_DFL)
    signal.signal(signal.SIGXFSZ, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    while True:
        request = _receive(server)
        if request is None:
            return
        head, strings, files = request
        answer = _bear()
        if answer == 0:
            _become(head, strings, files, server)
        for file in files:
            os.close(file)
        if answer < 0 or len(files) == FOR_CHILD:  # else the child has one of its own to tell of
            server.sendall(ANSWER.pack(answer))


def _bear() -> int:
    """The number of a new child of the server's, or of an error below zero; zero in the child."""
    numbers = (_CLONE[os.uname().machine], _CLONE_PARENT | signal.SIGCHLD, 0, 0, 0, 0)
    pid = int(_libc.syscall(*map(ctypes.c_long, numbers)))
    return pid if pid >= 0 else -ctypes.get_errno()


def _receive(server: socket.socket) -> "tuple[tuple[int, ...], list[bytes], list[int]] | None":
    room = socket.CMSG_SPACE((FOR_CHILD + _MOST_NAMESPACES) * 4)
    first, ancillary, _, _ = server.recvmsg(HEAD.size, room, socket.MSG_WAITALL | socket.MSG_CMSG_CLOEXEC)
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


def _become(head: "tuple[int, ...]", strings: "list[bytes]", files: "list[int]", server: socket.socket) -> None:
    """In the child, which comes no further than this."""
    _, arguments, _, uid, mark, most, has_terminal = head
    step = b"user"
    try:
        with open("/proc/self/oom_score_adj", "wb", buffering=0) as score:
            score.write(b"%d" % mark)
        os.nice(_NICE)
        resource.setrlimit(resource.RLIMIT_NPROC, (most, most))
        if not os.path.ismount("/dev/mqueue"):  # where one cannot see the queues, none are made
            resource.setrlimit(resource.RLIMIT_MSGQUEUE, (0, 0))
        for target, file in enumerate(files[:3]):
            os.dup2(file, target)
        os.setgroups([uid])
        os.setresgid(uid, uid, uid)
        if _libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
            raise OSError(ctypes.get_errno(), "no_new_privs")
        if files[FOR_CHILD:]:
            _enter(files[FOR_CHILD:], uid, server)
        os.setsid()
        os.setresuid(uid, uid, uid)
        # A ring of keys that no neighbour has too; where a filter forbids it, there are none.
        _libc.syscall(*map(ctypes.c_long, (_KEYCTL[os.uname().machine], _JOIN_SESSION_KEYRING, 0, 0, 0, 0)))
        if has_terminal:
            fcntl.ioctl(0, termios.TIOCSCTTY, 0)
        step = b"cwd"
        os.chdir(strings[0])
        step = b"program"
        words, variables = strings[1 : 1 + arguments], strings[1 + arguments :]
        environment = dict(variable.split(b"=", 1) for variable in variables if variable)
        os.execvpe(words[0], words, environment)
    except OSError as error:
        os.write(files[3], b"%s %d" % (step, error.errno or 0))
    finally:
        os._exit(127)


if __name__ == "__main__":
    main(socket.socket(fileno=int(sys.argv[1])))
