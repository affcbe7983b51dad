"""podman's or docker's command line: the few verbs that both have, and how this host wants them called."""

from __future__ import annotations

import json
import os
import re
import resource
import shutil
import subprocess
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.runners.podman.image_policy import policy_options
from pytest_fargate_sandbox.local.runners.podman.mounts_of_step import ANY_NETWORK, OWN_NETWORK
from pytest_fargate_sandbox.local.runners.podman.runtime_configuration import hook_options, runtime_options
from pytest_fargate_sandbox.local.runners.podman.seccomp_profile import seccomp_options
from pytest_fargate_sandbox.local.runners.podman.users_configuration import users_configuration
from pytest_fargate_sandbox.local.runners.task_limits import most_processes

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

PROGRAMS = ("podman", "docker")
_HYBRID_CGROUPS = Path("/sys/fs/cgroup/unified/cgroup.procs")
_QUICK_SEC = 60.0
"""For verbs that only look or tidy up. A pull or a build is not among them."""


class CommandFailed(Exception):
    """The command said no; the text is its own last words."""

    def __init__(self, verb: str, code: int, stderr: str) -> None:
        super().__init__(last_words(stderr) or f"{verb} ended with code {code}")
        self.code = code
        self.stderr = stderr


class ContainerCommand:
    """``program`` with the options that it needs on this host. Made once; its calls may come from any thread."""

    def __init__(self, program: str) -> None:
        self.program = program
        self.is_podman = program == "podman"
        self._options = self._runtime_options()
        self.security_options: list[str] = []
        """For ``run`` and ``build``."""

    def protect_from_containers(self, directory: Path) -> None:
        """The host; ``directory`` is for what that takes, as long as containers are started.

        docker has no such hooks, and is strict by itself; a podman that is only a client knows not where the host is.
        """
        if self.is_local_podman:
            self.security_options = seccomp_options(self.info, directory)
            hooks = directory / "hooks"
            hooks.mkdir()
            self._options = [*self._options, *hook_options(hooks)]

    def protect_from_builds(self, directory: Path, context: Path) -> None:
        """The same, for ``build``, whose steps have mounts of ``context`` and of what is the builder's own."""
        if self.is_local_podman:
            self.security_options = [*seccomp_options(self.info, directory), *policy_options(directory)]
            name = self._options[-1] if self._options else self.info["host"]["ociRuntime"]["path"]
            store = self.info["store"]
            network = ANY_NETWORK if _shares_its_network() else OWN_NETWORK
            places = [
                network,
                str(context),
                os.environ.get("TMPDIR") or "/var/tmp",
                store["graphRoot"],
                store["runRoot"],
            ]
            # Without root no group is made for a step.
            limits = os.geteuid() == 0 and self._can_limit("pids", "PidsLimit")
            self._options = runtime_options(directory, name, places, limits_processes=limits)

    def remove_caches(self, directory: Path) -> None:
        """Of a build's steps, whose users are without root of numbers that only podman turns back into ours."""
        caches = [str(each) for each in directory.glob("buildah-cache*")]
        if caches and os.geteuid() != 0:
            self.succeeds("unshare", "rm", "-rf", *caches)

    @property
    def is_local_podman(self) -> bool:
        """Not a client of one elsewhere, which does not know where its host is."""
        return self.is_podman and not self.info["host"].get("serviceIsRemote")

    def argv(self, *arguments: str) -> list[str]:
        return [self.program, *self._options, *arguments]

    def run(self, *arguments: str, timeout: float | None = _QUICK_SEC, stdin: bytes | None = None) -> str:
        """Its standard output; raises CommandFailed, or subprocess.TimeoutExpired."""
        done = subprocess.run(
            self.argv(*arguments),
            input=stdin,
            stdin=subprocess.DEVNULL if stdin is None else None,
            capture_output=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            raise CommandFailed(arguments[0], done.returncode, done.stderr.decode("utf-8", "replace"))
        return done.stdout.decode("utf-8", "replace").strip()

    def said(self, *arguments: str) -> str:
        """The same; nothing where it fails."""
        try:
            return self.run(*arguments)
        except (CommandFailed, subprocess.TimeoutExpired):
            return ""

    def succeeds(self, *arguments: str) -> bool:
        try:
            self.run(*arguments)
        except (CommandFailed, subprocess.TimeoutExpired):
            return False
        return True

    def state(self, container: str) -> dict[str, Any]:
        """What the command knows of a container; nothing where there is no such container."""
        try:
            state: dict[str, Any] = json.loads(self.run("inspect", "--format", "{{json .State}}", container))
        except CommandFailed:
            return {}
        return state

    def remove(self, *containers: str) -> None:
        """Kill them and forget them; what is gone already is no error."""
        # podman's rm -f waits ten seconds for a TERM that a program like `sleep` as PID 1 never sees; docker's kills.
        now = ("-t", "0") if self.is_podman else ()
        if containers:
            self.succeeds("rm", "-f", "-v", *now, *containers)

    def limit_options(self, memory_mib: int | None, cpu_units: int | None) -> list[str]:
        """For memory, CPU and processes, as far as this host lets us set any (rootless with old cgroups doesn't)."""
        options = []
        if self._can_limit("pids", "PidsLimit"):
            options += ["--pids-limit", str(most_processes())]
        if memory_mib and self._can_limit("memory", "MemoryLimit"):
            options += ["--memory", f"{memory_mib}m"]
        if cpu_units and self._can_limit("cpu", "CpuCfsQuota"):
            options += ["--cpus", f"{min(cpu_units / 1024, os.cpu_count() or 1):.3f}"]
        return options

    def ulimit_options(self, asked: Sequence[tuple[str, int, int]]) -> list[str]:
        """``asked``, and Fargate's number of open files, within what this process may hand down.

        podman asks for more processes than a user without CAP_SYS_RESOURCE may have, hence ``nproc``.
        """
        limits = {"nofile": (65535, 65535), "nproc": (30000, 30000)}
        limits.update({name: (soft, hard) for name, soft, hard in asked})
        options = []
        for name, (soft, hard) in limits.items():
            ceiling = _ceiling(name)
            options += ["--ulimit", f"{name}={min(soft, ceiling)}:{min(hard, ceiling)}"]
        return options

    def build_limit_options(self) -> list[str]:
        """So much memory that a step which takes all of it ends, and not the machine; and as many processes as a task.

        Without root no group limits a step. Then all that a user runs in podman counts together.
        """
        if os.geteuid() != 0:
            return self.ulimit_options([("nproc", most_processes(), most_processes())])
        options = self.ulimit_options(())
        if self._can_limit("memory", "MemoryLimit"):
            options += ["--memory", str(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") // 8 * 7)]
        return options

    def namespace_options(self) -> list[str]:
        """For ``run`` and ``build``: podman's own images have it share this machine's (containers.conf)."""
        if not self.is_podman:
            return []
        return [word for namespace in ("pid", "ipc", "uts") for word in (f"--{namespace}", "private")]

    @staticmethod
    def proxy_options() -> list[str]:
        """For podman's ``build``: its steps may need a proxy of this machine's, but get none with a password in it."""
        told = any("@" in value for name, value in os.environ.items() if name.lower() in _PROXIES)
        return ["--http-proxy=false"] if told else []

    def _can_limit(self, controller: str, docker_field: str) -> bool:
        if self.is_podman:
            return controller in self.info["host"].get("cgroupControllers", ())
        return bool(self.info.get(docker_field))

    @property
    def info(self) -> dict[str, Any]:
        return _info_of(self.program)

    def _runtime_options(self) -> list[str]:
        # crun refuses a host that mounts cgroup v2 beside v1; runc does not mind.
        if self.is_podman and _HYBRID_CGROUPS.exists() and shutil.which("runc"):
            return ["--runtime", "runc"]
        return []


@cache
def _info_of(program: str) -> dict[str, Any]:
    """Once in an engine's life: podman asks the package manager about each of its parts, which takes its time."""
    info: dict[str, Any] = json.loads(ContainerCommand(program).run("info", "--format", "{{json .}}"))
    return info


def _shares_its_network() -> bool:
    """Whether podman's user has it give this machine's network to whatever it runs: containers.conf(5), ``netns``."""
    places = (Path("/usr/share/containers"), Path("/etc/containers"), users_configuration())
    files = [place / "containers.conf" for place in places]
    files += [Path(os.environ[name]) for name in ("CONTAINERS_CONF", "CONTAINERS_CONF_OVERRIDE") if name in os.environ]
    files += [each for file in files for each in file.with_name("containers.conf.d").glob("*.conf")]
    return any(_NETNS_OF_HOST.search(file.read_text("utf-8", "replace")) for file in files if file.is_file())


_NETNS_OF_HOST = re.compile(r"""^\s*netns\s*=\s*["']host["']""", re.MULTILINE)


def environment_options(environment: Mapping[str, str], directory: Path) -> tuple[list[str], dict[str, str]]:
    """Options for a container's environment, and the environment to run the command in.

    A value in an argv is there for every user of the machine to read, so it goes through the command's own environment
    (``--env NAME``). A name that would steer the command itself, or mean other names to it (``*`` is all that it has),
    goes by a file in ``directory``; that has lines only.
    """
    options: list[str] = []
    inherited = {**os.environ, **WITHOUT_NEWS}
    lines = []
    for name, value in environment.items():
        if _NAME.fullmatch(name) and not _STEERING.fullmatch(name):
            options += ["--env", name]
            inherited[name] = value
        elif "\n" in value or _NOT_IN_A_FILE.search(name):
            options += ["--env", f"{name}={value}"]
        else:
            lines.append(f"{name}={value}\n")
    if lines:
        file = directory / "environment"
        file.touch(mode=0o600)
        file.write_text("".join(lines), "utf-8")
        options += ["--env-file", str(file)]
    return options, inherited


WITHOUT_NEWS = {"PODMAN_IGNORE_CGROUPSV1_WARNING": "yes"}
"""Podman 5 says on stderr that cgroups are old here, and stderr is the container's own, or a build's."""


def environment_of_builds() -> dict[str, str]:
    """Without what would have steps run otherwise: in podman's own images BUILDAH_ISOLATION is nearly none."""
    own = {name: value for name, value in os.environ.items() if not name.startswith("BUILDAH_")}
    return {**own, **WITHOUT_NEWS}


_PROXIES = ("http_proxy", "https_proxy", "ftp_proxy")
"""What podman hands down: https://docs.podman.io/en/v4.3/markdown/podman-build.1.html#http-proxy"""

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]*")
_NOT_IN_A_FILE = re.compile(r"^#|\s")

_STEERING = re.compile(
    r"PATH|HOME|USER|TMPDIR|SHELL|LANG"
    r"|(LD|XDG|LC|CONTAINERS?|_CONTAINERS|DOCKER(?!_AUTH_CONFIG$)|BUILDAH|BUILDKIT|STORAGE|REGISTRY|DBUS)_.*"
    r"|(NOTIFY|LISTEN)_(SOCKET|FDS|PID)|SSH_AUTH_SOCK|SSL_CERT_(FILE|DIR)|(HTTPS?|NO|ALL)_PROXY|(https?|no|all)_proxy"
    r"|GO(DEBUG|GC|MAXPROCS|MEMLIMIT|TRACEBACK|ROOT|COVERDIR)"
    r"|(PODMAN|CRUN|KRUN|RUNC|_LIBCONTAINER|OCICRYPT|NETAVARK|CNI|FUSE|SQLITE|OTEL|RUST|SYSTEMD|UDEV|DM|SELINUX)_.*"
    # Of the libraries in podman: one's writes whatever happens to a file that GPGME_DEBUG names.
    r"|(GNUPG|GPG|ASSUAN|GCRYPT|LIBGCRYPT|LIBSECCOMP).*|(GLIBC|GCONV|GETCONF|MALLOC|RESOLV|NIS|G)_.*"
    r"|(LOC|NLS)PATH|TZDIR|ZONEINFO|HOSTALIASES|LOCALDOMAIN|RES_OPTIONS"
    # Of interpreters, where the command is a script around it.
    r"|(BASH|PYTHON|PERL).*|ENV|SHELLOPTS|PS4|IFS|CDPATH"
)
"""What podman, docker, their runtimes, their libraries or Go read from their own environment.

Not DOCKER_AUTH_CONFIG, which is for pulls, and has lines.
"""


def last_words(stderr: str) -> str:
    """The end of what the command said, without its own prefixes and hints."""
    lines = [line for line in stderr.strip().splitlines() if line.strip() and not _CHATTER.search(line)]
    return _PREFIXES.sub("", "\n".join(lines[-5:])).strip()


_CHATTER = re.compile(r"level=warning|^(See|Run) 'docker .*--help'")
_PREFIXES = re.compile(r"^(Error: |docker: |Error response from daemon: )+")


def _ceiling(name: str) -> int:
    number = getattr(resource, f"RLIMIT_{name.upper()}", None)
    hard = resource.RLIM_INFINITY if number is None else resource.getrlimit(number)[1]
    return 1 << 30 if hard == resource.RLIM_INFINITY else hard
