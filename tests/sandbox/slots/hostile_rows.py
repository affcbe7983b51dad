"""What stands between slots: the rows of the table in docs/slots.md, each with the test that holds it.

A row with a ``probe`` is what ``inside/hostile_tenant.py`` tries under that name.
"""

from __future__ import annotations

from dataclasses import dataclass

ISOLATIONS = ("namespace", "user", "none")
NO, YES = "no", "**yes**"
_HERE = "tests/sandbox/slots/test_hostile_tenant.py"
_SLOT = "tests/sandbox/slots/test_slot.py"


@dataclass(frozen=True)
class Row:
    what: str
    test: str
    cells: tuple[str, str, str] = (NO, NO, YES)
    """By isolation."""
    left: str = ""
    probe: str = ""


_REACH = f"{_HERE}::test_what_a_tenant_reaches_of_his_neighbour"


def _probed(probe: str, what: str, left: str = "", cells: tuple[str, str, str] = (NO, NO, YES)) -> Row:
    return Row(what, _REACH, cells, left, probe)


REACHED = (
    _probed(
        "files", "its files, whatever their modes", "what it leaves in `/tmp`, as anybody's anywhere: TMPDIR is its own"
    ),
    _probed("environment", "the environment, memory and descriptors of its processes, or of the server"),
    _probed("command_lines", "its command lines", "secrets go by `stdin` or `env`", (YES, YES, YES)),
    _probed("terminals", "its terminals"),
    _probed("signals", "its processes, or the server: signals, priorities, CPUs"),
    _probed("servers_files", "what the server keeps of it: scripts, long output, pipes"),
    _probed("shared_memory", "shared memory that it closed to others, System V's and POSIX'"),
    _probed(
        "server_without_token",
        "the server, by guessing its token",
        "as root he hears it on the loopback",
        (NO, NO, YES),
    ),
    _probed("servers_port", "the server's port, or a part of it", "", (NO, NO, NO)),
    _probed("new_rights", "another user's rights, by `setuid` programs too"),
    Row(
        "the network: ports that it listens on, and those that it wants to",
        "",
        ('**yes**, but with `network="none"`', YES, YES),
        "all slots share the task's",
    ),
)

HELD_UP = (
    Row(
        "stopping commands as they begin, or holding their program",
        f"{_HERE}::test_who_holds_up_his_own_commands_holds_up_no_others",
    ),
    Row(
        "more processes than the machine has, whenever slots were opened",
        f"{_HERE}::test_slots_that_come_later_have_their_share_of_processes",
    ),
    Row("a crowd that forks as fast as it dies", f"{_SLOT}::test_a_crowd_that_forks_is_ended_at_once"),
    Row("connections to the server, as many as can be", f"{_HERE}::test_who_crowds_the_servers_port_keeps_nobody_out"),
    Row(
        "a slot that is being reset: what is removed is made again, moved, or given to it",
        f"{_HERE}::test_a_neighbour_does_not_hinder_a_reset",
    ),
    Row(
        "disk and memory, all of it",
        "tests/sandbox/slots/test_shortage.py::test_who_takes_too_much_of_what_is_shared_loses_his_slot",
        left="until it is seen, a twentieth of a second, a neighbour may get the kernel's own error",
    ),
    Row(
        "inodes; disk, by files without a name that he hides",
        "tests/server/slots/test_small_disks.py::test_who_fills_a_disk_by_whatever_means_loses_his_slot",
    ),
    Row(
        "memory of the kernel's, for sockets and pipes, and for file systems in namespaces that he made himself",
        "",
        (YES, YES, YES),
        "it is nobody's in particular; where users may make no namespaces, there are no such file systems",
    ),
    Row(
        "files and directories in `/tmp` by the hundred thousand",
        "",
        (NO, YES, YES),
        "a reset of others looks through them: a second for some hundred thousand",
    ),
    Row(
        "the container's log",
        "",
        (YES, YES, YES),
        "what stands at `$CONTAINER_LOG` takes anybody's lines, false ones too",
    ),
    Row("CPU; kernel tables that all users share: terminals, System V identifiers, ports", "", (YES, YES, YES)),
)

LEFT = (
    Row(
        "processes, however they were forked, whatever they ignore",
        f"{_HERE}::test_nothing_is_held_after_a_reset",
        (NO, NO, "what ran in no session of a command's"),
    ),
    Row("sockets, locks, shared memory, files without a name", f"{_HERE}::test_nothing_is_held_after_a_reset"),
    Row(
        "files in its workspace, of any kind, mode or depth",
        f"{_SLOT}::test_nothing_of_its_tenant_is_left",
        (NO, NO, NO),
    ),
    Row(
        "files where everybody may write, in directories that were opened later, and in those of neighbours",
        f"{_HERE}::test_what_is_planted_by_doors_that_opened_later_is_found",
    ),
    Row("long output that the server kept", f"{_HERE}::test_long_output_goes_with_its_slot", (NO, NO, YES)),
    Row("System V objects, whoever they were given to", f"{_HERE}::test_a_neighbour_does_not_hinder_a_reset"),
    Row(
        "POSIX message queues",
        "tests/server/slots/test_kept_by_the_kernel.py::test_message_queues_are_removed",
        left="where `/dev/mqueue` is not mounted, nobody may have any",
    ),
    Row(
        "the user's key rings, where the container has any",
        "tests/server/slots/test_kept_by_the_kernel.py::test_key_rings_are_emptied",
    ),
    Row("the least of priorities for the server's threads", f"{_HERE}::test_who_demotes_the_server_dies_none_the_less"),
    Row(
        "what was written into files that the image lets anybody write",
        "",
        (NO, YES, YES),
        "an image has no such files, if it is well made",
    ),
)
