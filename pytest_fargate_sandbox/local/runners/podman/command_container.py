"""One container: started through the command line, read from, and told about when it ends."""

from __future__ import annotations

import os
import subprocess
import threading
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.local.runners.podman.command_line import environment_options, last_words
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart, ContainerExit, ContainerSpec

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from pytest_fargate_sandbox.local.runners.podman.command_line import ContainerCommand

_START_DEADLINE_SEC = 120.0
_CHUNK = 1 << 16
_KILLED = 137
_NOT_YET_RUNNING = frozenset({"", "created", "configured", "initialized"})


class CommandContainer:
    """A container that ``run`` keeps in the foreground: its output and its exit code come from one process."""

    def __init__(
        self,
        command: ContainerCommand,
        name: str,
        on_output: Callable[[bytes], None],
        on_exit: Callable[[ContainerExit], None],
        directory: Path,
    ) -> None:
        self.name = name
        self._directory = directory
        self._command = command
        self._on_output = on_output
        self._on_exit = on_exit
        self._lock = threading.Lock()
        self._started = threading.Event()
        self._held: list[bytes] | None = []

    def start(self, options: Sequence[str], spec: ContainerSpec, image: Sequence[str]) -> None:
        """``image`` is what names it: a reference, or ``--rootfs DIRECTORY``."""
        environment, inherited = environment_options(spec.environment, self._directory)
        arguments = ["run", "--name", self.name, "--sig-proxy=false", *_ATTACHED, *options, *environment]
        if self._command.is_podman:
            # It would hand down this machine's proxies, with their passwords; and a program by the name of init would
            # have control groups to write in, with old ones those of the whole machine.
            arguments += ["--read-only-tmpfs=false", "--http-proxy=false", "--systemd=false"]
        self._process = subprocess.Popen(
            self._command.argv(*arguments, *spec_options(spec), *image, *spec_command(spec)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,  # one pipe, so that both keep their order
            env=inherited,
            # Where podman 4's monitor notes that the kernel killed something for memory, and podman does not look.
            cwd=self._directory,
            start_new_session=True,
        )
        self._follower = threading.Thread(target=self._follow, name=f"container-{self.name}", daemon=True)
        self._follower.start()
        self._wait_for_start()

    def join(self, timeout: float) -> None:
        """Wait until ``on_exit`` has been called."""
        if threading.current_thread() is not self._follower:
            self._follower.join(timeout)

    def _wait_for_start(self) -> None:
        try:
            state = wait_until(
                self._probe, deadline=_START_DEADLINE_SEC, what=f"the start of container {self.name}", first_pause=0.05
            )
        except WaitTimeout as late:
            self._process.kill()
            self._command.remove(self.name)
            raise CannotStart(f"CannotStartContainerError: {late}") from late
        if not state:
            self._follower.join()
            self._command.remove(self.name)
            said = b"".join(self._held or ()).decode("utf-8", "replace")  # by the command: nothing else has run
            raise CannotStart(f"CannotStartContainerError: {last_words(said)}")
        with self._lock:
            for output in self._held or ():
                self._on_output(output)
            self._held = None
        self._started.set()

    def _probe(self) -> dict[str, Any] | None:
        """The state of a container that came to run; empty when it did not; None while nobody can tell."""
        ended = self._process.poll() is not None
        state = self._command.state(self.name)
        if state.get("Status", "") not in _NOT_YET_RUNNING:
            return state
        return {} if ended else None

    def _follow(self) -> None:
        self._read_to_the_end()
        code = self._process.wait()
        # A container that never started ends here too: then nobody waits for its end, only for its last words.
        if not self._started.is_set() and not self._started.wait(_START_DEADLINE_SEC if self._came_to_run() else 0):
            return
        state = self._command.state(self.name)
        code = state["ExitCode"] if state.get("Status") in ("exited", "stopped") else code
        killed_for_memory = bool(state.get("OOMKilled")) or (self._directory / "oom").exists()
        self._on_exit(ContainerExit(code, out_of_memory=killed_for_memory and code == _KILLED))

    def _came_to_run(self) -> bool:
        return self._command.state(self.name).get("Status", "") not in _NOT_YET_RUNNING

    def _read_to_the_end(self) -> None:
        assert self._process.stdout is not None
        with self._process.stdout as pipe:
            while data := os.read(pipe.fileno(), _CHUNK):
                with self._lock:
                    if self._held is None:
                        self._on_output(data)
                    else:
                        self._held.append(data)


_ATTACHED = ("-a", "stdout", "-a", "stderr", "--log-driver", "none", "--pull", "never", "--no-healthcheck")
"""An image's own health check is not ECS's, and would be run by this machine's systemd as often as the image likes:
https://docs.aws.amazon.com/AmazonECS/latest/developerguide/healthcheck.html
"""


def spec_options(spec: ContainerSpec) -> list[str]:
    options = []
    if spec.entry_point:
        options += ["--entrypoint", spec.entry_point[0]]
    if spec.working_directory:
        options += ["--workdir", spec.working_directory]
    if spec.user:
        options += ["--user", spec.user]
    if spec.read_only_root:
        options.append("--read-only")
    return options


def spec_command(spec: ContainerSpec) -> list[str]:
    return [*(spec.entry_point or ())[1:], *(spec.command or ())]
