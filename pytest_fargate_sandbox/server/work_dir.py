"""Where the server may leave things: a read-only root or an unprivileged user leave few places."""

import os
import threading

from pytest_fargate_sandbox.leaves.names import WORK_DIR
from pytest_fargate_sandbox.server.protocol import encoded


def find_work_dir() -> "bytes | None":
    """A directory of our own in the first place that can be written, or None."""
    named = [WORK_DIR, os.environ.get("TMPDIR", ""), "/tmp", "/var/tmp", "/dev/shm", os.environ.get("HOME", ""), "."]
    places = [os.path.abspath(encoded(place)) for place in named if place and os.path.isdir(place)]
    # Commands of other users read their scripts here: where they cannot go is the last choice.
    for place in sorted(places, key=lambda place: not _is_open_to_all(place)):
        path = os.path.join(place, b".fargate-sandbox-%d" % os.getpid())
        try:
            os.mkdir(path, 0o711)
            os.chmod(path, 0o711)
        except FileExistsError:
            return path if os.stat(path).st_uid == os.geteuid() else None
        except OSError:
            continue
        return path
    return None


def _is_open_to_all(place: bytes) -> bool:
    while os.stat(place).st_mode & 0o001:
        if place == b"/":
            return True
        place = os.path.dirname(place)
    return False


def lend_log(work_dir: bytes) -> str:
    """A pipe that leads to the container's log: our own output is as closed to commands as our memory."""
    path = os.path.join(work_dir, b"log")
    try:
        os.mkfifo(path)
        os.chmod(path, 0o622)
        pipe = os.open(path, os.O_RDWR | os.O_CLOEXEC)  # with a writer of our own it has no end between theirs
    except OSError:
        return ""
    threading.Thread(target=_copy, args=(pipe,), name="log", daemon=True).start()
    return path.decode("utf-8", "surrogateescape")


def _copy(pipe: int) -> None:
    while True:
        data = os.read(pipe, 65536)
        try:
            while data:
                data = data[os.write(1, data) :]
        except OSError:
            pass  # nobody keeps the log; whoever writes to it must not wait for that


def remove(path: bytes) -> None:
    """A file that may be gone already, or that we may not touch."""
    try:
        os.unlink(path)
    except OSError:
        pass


def offer_python(work_dir: "bytes | None", path: str) -> str:
    """The PATH on which ``python`` is found, if ``python3`` is: many programs say ``python`` and mean it."""
    python3 = _find("python3", path)
    if not python3 or _find("python", path):
        return path
    places = ["/usr/local/bin"] if "/usr/local/bin" in path.split(":") else []
    links = os.path.join(work_dir, b"bin").decode("utf-8", "surrogateescape") if work_dir else ""
    if links:
        os.makedirs(links, 0o755, exist_ok=True)
        os.chmod(links, 0o755)
        places.append(links)
    for place in places:
        try:
            os.symlink(python3, place + "/python")
        except OSError:
            continue
        return path if place != links else path + ":" + links
    return path


def _find(name: str, path: str) -> "str | None":
    for place in path.split(":"):
        program = os.path.join(place, name)
        if place and os.access(program, os.X_OK) and os.path.isfile(program):
            return program
    return None
