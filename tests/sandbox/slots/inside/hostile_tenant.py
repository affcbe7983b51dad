"""What a tenant of a slot does to his neighbours, and to the server: run in his slot, on Python's own library.

``reach``: every probe, with what is told of a neighbour on standard input; prints what each got at, as JSON. Any other
word is a deed, which is done.
"""

from __future__ import annotations

import ctypes
import fcntl
import glob
import itertools
import json
import mmap
import os
import signal
import socket
import sys
import time

POPULATED = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | 0x8000
PROBES, DEEDS = {}, {}
libc = ctypes.CDLL(None, use_errno=True)


def probe(function):
    PROBES[function.__name__] = function
    return function


def deed(function):
    DEEDS[function.__name__] = function
    return function


def reached(ways):
    """The names of those that raise no OSError and give something."""
    found = []
    for name, way in ways.items():
        try:
            if way():
                found.append(name)
        except (OSError, ValueError):
            continue
    return found


def done(result):
    return result >= 0


def contents(path):
    file = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    try:
        return os.read(file, 1 << 20) or True
    finally:
        os.close(file)


@probe
def files(told):
    home, secret = told["home"], told["home"] + "/secret"
    gate = os.path.dirname(home)
    os.symlink(secret, "a link")
    ways = {path: (lambda path=path: os.listdir(path) or True) for path in (home, gate, os.path.dirname(gate))}
    ways.update({path: (lambda path=path: contents(path)) for path in (secret, "a link")})
    ways["a hard link"] = lambda: os.link(secret, "hard") is None
    ways["write"] = lambda: os.open(secret, os.O_WRONLY)
    ways["chmod"] = lambda: os.chmod(gate, 0o777) is None
    for pid in told["pids"]:
        for name in ("root", "cwd"):
            ways[f"{name} of {pid}"] = lambda pid=pid, name=name: os.listdir(f"/proc/{pid}/{name}{home}")
    return reached(ways)


@probe
def environment(told):
    """And memory, descriptors, maps: of all processes that are not his."""
    vector = (ctypes.c_void_p * 2)(id(vector_space), 8)
    ways = {}
    for pid in [*told["pids"], told["server_pid"]]:
        for name in ("environ", "mem", "maps", "auxv"):
            ways[f"{name} of {pid}"] = lambda pid=pid, name=name: contents(f"/proc/{pid}/{name}")
        for name in ("fd", "map_files", "ns"):
            ways[f"{name} of {pid}"] = lambda pid=pid, name=name: [
                os.stat(f"/proc/{pid}/{name}/{each}") for each in os.listdir(f"/proc/{pid}/{name}")
            ]
    for pid in told["signalled"]:
        ways[f"ptrace {pid}"] = lambda pid=pid: done(libc.ptrace(16, pid, 0, 0))
        ways[f"seize {pid}"] = lambda pid=pid: done(libc.ptrace(0x4206, pid, 0, 0))
        ways[f"process_vm_readv {pid}"] = lambda pid=pid: done(libc.process_vm_readv(pid, vector, 1, vector, 1, 0))
    return reached(ways)


vector_space = bytearray(64)


@probe
def command_lines(told):
    return reached(
        {"cmdline": lambda: [pid for pid in told["pids"] if told["mark"] in contents(f"/proc/{pid}/cmdline").decode()]}
    )


@probe
def terminals(told):
    ways = {
        f"{how} {path}": (lambda path=path, flags=flags: os.open(path, flags | os.O_NOCTTY))
        for path in [told["tty"], *glob.glob("/dev/pts/[0-9]*")]
        for how, flags in (("read", os.O_RDONLY), ("write", os.O_WRONLY))
    }
    return reached(ways)


@probe
def signals(told):
    """Signals, priorities, places: everything that one process may do to another by its number."""
    ways = {}
    threads = [int(tid) for tid in os.listdir("/proc/1/task") if 1 in told["signalled"]]
    for pid in told["signalled"] + threads:
        for number in (0, signal.SIGSTOP, signal.SIGURG):
            ways[f"signal {number} to {pid}"] = lambda pid=pid, number=number: os.kill(pid, number) is None
        ways[f"renice {pid}"] = lambda pid=pid: os.setpriority(os.PRIO_PROCESS, pid, 19) is None
        ways[f"bind {pid}"] = lambda pid=pid: os.sched_setaffinity(pid, {0}) is None
        ways[f"demote {pid}"] = lambda pid=pid: os.sched_setscheduler(pid, os.SCHED_IDLE, os.sched_param(0)) is None
    ways["all of the neighbour's"] = lambda: os.setpriority(os.PRIO_USER, told["uid"], 19) is None
    return reached(ways)


@probe
def servers_files(told):
    """What it keeps of the neighbour's commands: scripts, output, pipes; their names are not guessed but told here."""
    ways = {told["work_dir"]: lambda: os.listdir(told["work_dir"])}
    for path in told["spools"]:
        ways["read " + path] = lambda path=path: contents(path)
        ways["write " + path] = lambda path=path: os.open(path, os.O_WRONLY | os.O_NONBLOCK)
        ways["remove " + path] = lambda path=path: os.unlink(path) is None
    ways["plant"] = lambda: os.symlink("/etc/passwd", told["work_dir"] + "/planted") is None
    return reached(ways)


@probe
def server_without_token(told):
    def ask(token):
        with socket.create_connection(("127.0.0.1", told["port"]), 5) as connection:
            head = f"POST {told['prefix']}run HTTP/1.1\r\nAuthorization: Bearer {token}\r\nContent-Length: 31\r\n\r\n"
            connection.sendall(head.encode() + b'{"id": "x", "command": "true"}\n')
            said = connection.recv(100)
            return said and b" 401 " not in said

    guesses = ["", "x", "0" * 32, os.environ.get("TOKEN", "-"), *(os.urandom(16).hex() for _ in range(40))]
    return reached({repr(guess): (lambda guess=guess: ask(guess)) for guess in guesses})


@probe
def servers_port(told):
    """Taking it, or a part of it, so that whoever means the server comes to him."""

    def take(host, family, option):
        listener = socket.socket(family)
        listener.setsockopt(socket.SOL_SOCKET, option, 1)
        listener.bind((host, told["port"]))
        listener.listen()
        return listener

    places = [("127.0.0.1", socket.AF_INET), ("0.0.0.0", socket.AF_INET)]
    return reached(
        {
            f"{host} {option}": (lambda place=(host, family), option=option: take(*place, option))
            for host, family in places
            for option in (socket.SO_REUSEADDR, socket.SO_REUSEPORT)
        }
    )


@probe
def shared_memory(told):
    """System V objects and POSIX shared memory that the neighbour closed to others."""
    ways = {f"/dev/shm/{told['mark']}": lambda: contents(f"/dev/shm/{told['mark']}")}
    for flags in (0, 0o10000):  # to write, to read
        ways[f"attach {flags}"] = lambda flags=flags: libc.shmat(told["shm"], None, flags) != -1
    ways["remove"] = lambda: done(libc.shmctl(told["shm"], 0, None))
    ways["by its key"] = lambda: done(libc.shmget(told["shm_key"], 0, 0o600))
    return reached(ways)


@probe
def new_rights(told):
    own = os.getuid()
    ways = {
        "setuid": lambda: os.setuid(told["uid"]) is None,
        "root": lambda: os.setresuid(own, 0, own) is None,
        "groups": lambda: os.setgroups([told["uid"]]) is None,
        "chroot": lambda: os.chroot("/") is None,
        "chown": lambda: [open("mine", "w").close(), os.chown("mine", told["uid"], -1)],
        "a setuid program": lambda: os.popen("/usr/bin/id-of-root -u").read().strip() not in ("", str(own)),
    }
    return reached(ways)


def in_children(count, act):
    for _ in range(count):
        if os.fork() == 0:
            act()


def for_ever(act):
    while True:
        try:
            act()
        except OSError:
            pass


@deed
def stops_what_begins():
    """Commands begin as somebody else, and are his for a moment before they are his program."""
    print("ready", flush=True)  # before its children stop it, too
    in_children(3, lambda: for_ever(lambda: os.kill(-1, signal.SIGSTOP)))
    time.sleep(100)


@deed
def holds_a_program():
    """With a lease on the file, who wants to run it waits for him: up to 45 s."""
    with open("program", "w") as file:
        file.write("#!/bin/sh\n")
    os.chmod("program", 0o755)
    signal.signal(signal.SIGIO, signal.SIG_IGN)
    held = os.open("program", os.O_RDONLY)
    fcntl.fcntl(held, fcntl.F_SETLEASE, fcntl.F_WRLCK)
    print("ready", flush=True)
    time.sleep(100)


@deed
def demotes_the_server():
    """The least of priorities for whichever of its threads acts as him just now, so that it never comes to kill him."""

    def demote():
        for tid in os.listdir("/proc/1/task"):
            try:
                os.sched_setscheduler(int(tid), os.SCHED_IDLE, os.sched_param(0))
            except OSError:
                pass

    in_children(3, lambda: for_ever(demote))
    print("ready", flush=True)
    time.sleep(100)


@deed
def crowds_the_port():
    """Connections of strangers, as many as he may have, none of which says anything to the end."""
    held = []
    print("ready", flush=True)
    while True:
        try:
            held.append(socket.create_connection(("127.0.0.1", int(sys.argv[2]))))
            held[-1].sendall(b"POST ")
        except OSError:
            held = held[100:]


@deed
def fills_open_directories():
    """Of the neighbour who is being cleaned: what is removed is there again, under any name."""
    place = sys.argv[2]
    print("ready", flush=True)
    for serial in itertools.count():
        try:
            os.mkdir(f"{place}/{serial}")
            os.rename(f"{place}/{serial}", f"{place}/again-{serial % 7}")
        except OSError:
            pass


@deed
def moves_what_is_removed():
    """He has the directory, the neighbour has something in it."""
    place = sys.argv[2]
    print("ready", flush=True)
    for serial in itertools.count():
        for name in os.listdir(place):
            try:
                os.rename(f"{place}/{name}", f"{place}/moved-{serial}")
            except OSError:
                pass


@deed
def gives_objects_away():
    """System V objects that belong to the neighbour, though he made them, all the time."""
    with open("/proc/sysvipc/shm") as file:
        columns = file.readline().split()
    assert "cuid" in columns
    buffer = (ctypes.c_char * 256)()
    print("ready", flush=True)
    for key in itertools.cycle(range(0x7000, 0x7010)):
        number = libc.shmget(key, 100, 0o1600)
        libc.shmctl(number, 2, buffer)  # IPC_STAT
        ctypes.c_uint32.from_buffer(buffer, 4).value = int(sys.argv[2])  # shm_perm.uid
        libc.shmctl(number, 1, buffer)  # IPC_SET


def growing(grow, seconds):
    """Not faster than one looks: what fills in a moment is full."""
    print("ready", flush=True)
    while True:
        try:
            grow()
        except OSError:
            pass
        time.sleep(seconds)


@deed
def fills_a_disk():
    file = open(sys.argv[2] + "/filled", "wb", buffering=0)
    growing(lambda: file.write(bytes(1 << 20)), 0.01)


@deed
def fills_a_disk_unseen():
    """With files that have no name, in a process into which nobody looks."""
    libc.prctl(4, 0, 0, 0, 0)
    file = open(sys.argv[2] + "/filled", "wb", buffering=0)
    os.unlink(file.name)
    growing(lambda: file.write(bytes(1 << 18)), 0.02)


@deed
def fills_a_disk_by_a_map():
    """Of a file that has no name, and that nobody holds open."""
    with open(sys.argv[2] + "/filled", "wb+", buffering=0) as file:
        file.truncate(64 << 20)
        held = mmap.mmap(file.fileno(), 0)
        os.unlink(file.name)
    block = b"x" * (1 << 18)
    growing(lambda: held.write(block), 0.02)


@deed
def fills_inodes():
    serial = itertools.count()
    growing(lambda: open(f"{sys.argv[2]}/{next(serial)}", "w").close(), 0.001)


@deed
def fills_memory():
    held = []
    growing(lambda: held.append(mmap.mmap(-1, 16 << 20, flags=POPULATED)), 0.02)


@deed
def plants_by_later_doors():
    """Where nothing was open when it was looked, and in what the neighbour opened to all."""
    for place in sys.argv[2:]:
        os.mkdir(f"{place}/planted", 0o700)
        with open(f"{place}/planted/file", "w") as file:
            file.write("x")


@deed
def holds_everything():
    """Abstract sockets, listeners, locks, shared memory, unlinked files; by daemons who ignore what they can."""
    if os.fork():
        os._exit(0)
    os.setsid()
    for number in set(signal.valid_signals()) - {signal.SIGKILL, signal.SIGSTOP, signal.SIGCHLD}:
        signal.signal(number, signal.SIG_IGN)
    if os.fork():
        os._exit(0)
    held = [socket.socket(socket.AF_UNIX), socket.socket()]
    held[0].bind("\0held-by-" + str(os.getuid()))
    held[1].bind(("127.0.0.1", 0))
    for each in held:
        each.listen()
    with open("/dev/shm/unlinked-" + str(os.getuid()), "wb") as file:
        file.write(bytes(1 << 20))
        os.unlink(file.name)
        fcntl.flock(os.open("/etc/passwd", os.O_RDONLY), fcntl.LOCK_SH)
        libc.prctl(4, 0, 0, 0, 0)  # not dumpable
        with open("held", "w") as told:
            told.write(str(os.getpid()))
        time.sleep(1000)


if __name__ == "__main__":
    if sys.argv[1] == "reach":
        told = json.load(sys.stdin)
        outcomes = {}
        for name, tried in PROBES.items():
            try:
                outcomes[name] = tried(told)
            except Exception as error:
                outcomes[name] = [f"a probe that failed: {error!r}"]
        print(json.dumps(outcomes))
    else:
        DEEDS[sys.argv[1]]()
