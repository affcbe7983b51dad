"""What a sandbox can reach: the rows of the table in docs/security.md, and what each test of them expects.

A row is a probe of the same name in ``inside/``, which says what it reached. ``NO``: nothing, on that runner. ``YES``:
something, or the row were out of date. Anything else is what is to be said where it depends on the machine.
"""

from __future__ import annotations

from dataclasses import dataclass

RUNNERS = ("namespaces", "namespaces, no root", "podman")
NO, YES = "no", "**yes**"


@dataclass(frozen=True)
class Row:
    name: str
    what: str
    cells: tuple[str, str, str] = (NO, NO, NO)
    """By runner."""
    left: str = ""
    """What remains possible, or how it is done."""


REACHED = (
    Row("roots_files", "files of the host that only root may read, wherever they lie",
        left="the image `host` is read with the eyes of the host's user `nobody`; podman has images only"),
    Row("own_files", "files that only the engine's own user may read, in directories of his own in `/opt` or `/usr`",
        left="without root: but those that he makes while the engine runs"),
    Row("users_files", "the same in directories of somebody else's, deep below `/opt` or `/usr`", (NO, YES, NO),
        "without root nobody's eyes are to be had: there only what lies at most three directories deep is hidden. "
        "A file that is yours alone belongs in your home, of which nothing is there"),
    Row("private_places", "homes, keys, password hashes, sockets of services, the engine's own files"),
    Row("inodes", "the host's inodes: modes, owners, times, attributes, of devices and of `/proc` too",
        left="with docker: the entries of `/proc`, unless AppArmor forbids it"),
    Row("old_roots", "what is outside of its root, by `chroot` and open descriptors"),
    Row("devices", "disks, memory, `/dev/kvm`, `/dev/fuse`, or device nodes of its own"),
    Row("processes", "the host's processes, and other tasks'"),
    Row("sockets_without_a_path", "abstract sockets of the host"),
    Row("doors_in_the_hosts_programs", "sockets and named pipes that stand among the host's programs, and locks there",
        left="without root: locks on files beside which something is mounted; and all of it where overlays lie two "
             "deep already, and in a directory of more than 500 entries below which something is mounted"),
    Row("host_services", "services on the host's loopback"),
    Row("outside_network", "any network, or a name server",
        left='where `network="public"` asks for it, [public addresses](network.md#the-internet-network); on AWS: what '
             "your security group lets out"),
    Row("neighbour", "other tasks' ports and files",
        left="how busy they are shows in the machine's load; on AWS each task has a machine of its own"),
    Row("control_plane", "the engine's API, at the port where presigned S3 objects are",
        left="a presigned URL that you hand in works, for its one object and method"),
    Row("credentials", "keys of the engine or of AWS, a metadata service",
        left="on AWS: what a task role may do, if you attach one"),
    Row("new_rights", "mounts, namespaces, modules, key rings, `bpf`, `io_uring`, and what else takes or gives rights"),
    Row("capabilities", "capabilities beyond Docker's, by setuid programs too",
        left="programs that are setuid root make root of the container, which has Docker's capabilities"),
    Row("strange_sockets", "`AF_VSOCK`, which leads to the hypervisor, `AF_ALG`, and families that nobody uses"),
    Row("clock", "the machine's clock"),
    Row("kernel_log", "the kernel's log, and the host's audit log"),
    Row("kernel_switches", "the kernel's switches in `/proc/sys` and `/sys`"),
    Row("kernel_records", "what of `/proc` only root may read: page flags, slabs"),
    Row("private_sysfs", "what of `/sys` only root may read: slab sizes, PCI memory",
        ("yes, if there is any", NO, "yes, if there is any"), "read-only, as in Docker"),
    Row("machine_facts", "facts about the machine: load, memory, kernel, its command line, where the engine has files",
        (YES, YES, YES), "command lines of the kernel and paths are no place for secrets"),
    Row("cgroups", "its own limits, and the old way out by `release_agent`"),
    Row("server_memory", "memory, environment and descriptors of its own exec server",
        left="signals; files, modules that its Python has yet to load among them: "
             "[the whole list](exec-server.md#what-code-in-the-sandbox-can-do-to-the-server)"),
    Row("token", "the token of its exec server, in any environment, command line or file",
        left="root can read it on the task's own loopback; it opens this one sandbox"),
    Row("server_without_token", "a verb of its exec server, without the token"),
    Row("memory_limit", "more memory than its definition says", (NO, "yes, unless its user has a cgroup", NO),
        "[how a user gets one](local-engine.md#what-a-task-may-take)"),
    Row("disk_limit", "more disk than Fargate gives", (YES, YES, YES),
        "there is no quota: a task can fill the disk that `$TMPDIR` is on, podman's also `/run`, by `/etc/hosts`"),
)  # fmt: skip

ALLOWED = (
    Row("host_programs", "the programs of the host, where the image is `host`", (YES, YES, NO)),
    Row("plain_calls", "system calls as Docker allows them, and `ENOSYS` for those of tomorrow", (YES, YES, YES)),
    Row("ping", "raw sockets in the task's own network: `ping`", (YES, YES, YES)),
    Row("debugging", "debuggers, on processes of its own", (YES, YES, YES)),
    Row(
        "own_devices",
        "`/dev/null`, `/dev/urandom`, `/proc/meminfo`, `/proc/self/oom_score_adj` as anywhere",
        (YES, YES, YES),
    ),
)

ELSEWHERE = (
    ("code in a sandbox, the host's interpreter by `/proc/self/exe` of a health check or entry point",
     "nothing: containers are forked from a sealed copy of it. In podman this is runc's to keep (CVE-2019-5736)",
     "tests/local/test_namespaces_hostile.py"),
    ("code in a sandbox, the engine's time and memory",
     ("an endless log, connections to the gate held for ever, directories without end: bounded, and no neighbour's "
     "trouble. What the engine does for a task (ports, logs) is not counted in the task's CPU; and what the kernel "
     "counts by user (128 inotify instances) is shared with whatever else runs as the engine's user"),
     "tests/local/test_log_streams.py, tests/local/test_task_gate.py, tests/local/test_scratch.py"),
    ("code in a sandbox, processes",
     "4,096 of them and threads; its neighbours and the host go on",
     "tests/local/test_namespaces_hostile.py, tests/local/test_podman_runner.py"),
    ("code in a `RUN` step of a build",
     ("as in podman's containers, and its `--mount`s are of its own build only, whatever links and names say; nor has "
     "it this machine's network, nor an image that lies in a file here. But it has the network that podman gives to "
     "builds, all images of the machine's store whose names it knows, and what `ADD` names is fetched by the builder, "
     "from this machine's loopback too; which paths there are here shows in what podman says of "
     "`FROM oci-archive:/PATH`"),
     "tests/local/test_codebuild.py"),
    ("a task's folder: its variables, image, Dockerfile, `.dockerignore` and `task.toml`; the registry of its image",
     ("of the environment of whoever runs it what it names in `${…}`, and nothing else; no option of the container's "
     "runtime, no file's content, no memory and time without end"),
     "tests/local/test_podman_runner.py, tests/providers/test_mirror.py, tests/tasks/test_task_toml.py"),
    ("a sandbox that lies to its client",
     "no memory, disk, time or file beyond a bound, whatever the lie; an error that says so",
     "tests/sandbox/test_lying_server.py"),
    ("a sandbox that writes to your terminal",
     ("nothing that a terminal obeys, in errors and reports. Your own `print` of what it said, and what a CI makes of "
     "lines like `::error::`, are yours"),
     "tests/leaves/test_printable.py"),
    ("an archive out of a sandbox, or into it",
     "nothing outside of its directory",
     "tests/server/test_hostile_input.py"),
    ("another user of this machine, at the engine's port",
     "nothing without a signature, whatever he sends, holds or cuts",
     "tests/local/test_strangers.py, tests/local/test_signatures.py"),
    ("another user of this machine, in `/tmp`",
     "no file of an engine or a task; a name that he has taken is left alone",
     "tests/local/test_scratch.py"),
    ("whoever sends rubbish, to the exec server, the engine or the gate",
     "a 4xx, or he is hung up on; memory and descriptors stay as they were",
     "tests/hostile/fuzz/test_fuzz_exec_server.py, tests/hostile/fuzz/test_fuzz_engine.py"),
)  # fmt: skip
"""Who, what he reaches, and the tests that hold it: not of one container, so no probes."""
