"""System V objects of a user: shared memory, semaphores and queues, which outlive the processes that made them."""

from pytest_fargate_sandbox.server.thread_rights import as_owner_of_processes, remove_ipc

_COLUMN = {"shm": b"shmid", "sem": b"semid", "msg": b"msqid"}


def objects_of(uid: int) -> "list[tuple[str, int]]":
    """Each that he made, with its kind. Whose it is now says nothing: its maker can give it to anybody at any time."""
    found = []
    for kind in _COLUMN:
        try:
            with open("/proc/sysvipc/" + kind, "rb", buffering=0) as file:
                table = file.readall().splitlines()
        except OSError:  # a kernel without them
            continue
        columns = table[0].split() if table else []
        for line in table[1:]:
            values = dict(zip(columns, line.split()))
            if values.get(b"cuid") == b"%d" % uid:
                found.append((kind, int(values[_COLUMN[kind]])))
    return found


def remove_all(uid: int, spare: int) -> None:
    """As their owner: the root of a container may not."""
    objects = objects_of(uid)
    if objects:
        with as_owner_of_processes(uid, spare):
            for kind, number in objects:
                remove_ipc(kind, number)
