"""What the engine stands on: its two ports, and what runs its containers.

Opened before the control plane is imported, which takes half a second: meanwhile the runner gets ready.
"""

from __future__ import annotations

import os
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.runner_by_images import RunnerByImages
from pytest_fargate_sandbox.local.runners.runner_choice import open_runner, program_for_images

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.engine_options import EngineOptions


@dataclass(frozen=True)
class PortsAndRunner:
    """``gate_listener`` is for what runs in tasks, ``listener`` for everybody else."""

    listener: socket.socket
    gate_listener: socket.socket
    runner: RunnerByImages

    @property
    def port(self) -> int:
        return int(self.listener.getsockname()[1])


def open_ports_and_runner(options: EngineOptions) -> PortsAndRunner:
    """Raises ``OSError`` where the port is taken or leads nowhere, and ``NoRunner``."""
    _look_for_loopback()
    listener, gate_listener = _listen(options.port), _listen(0)
    gate_address = gate_listener.getsockname()
    runner = open_runner(options.runner, options.images, gate_address)
    chooses = options.runner == "auto" and runner.name == "namespaces"
    by_images = RunnerByImages(
        runner,
        lambda program: open_runner(program, options.images, gate_address),
        directories=options.images,
        for_the_rest=program_for_images if chooses else lambda: None,
    )
    return PortsAndRunner(listener, gate_listener, by_images)


def _look_for_loopback() -> None:
    """A new network namespace has it, and it is down: whoever listens there is never found."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        try:
            probe.connect(("127.0.0.1", 9))  # which sends nothing
        except OSError as error:
            why = os.strerror(error.errno or 0)
            raise OSError(
                error.errno, f"nothing reaches 127.0.0.1 here ({why}), where the engine listens: ip link set lo up"
            ) from error


def _listen(port: int) -> socket.socket:
    try:
        return socket.create_server(("127.0.0.1", port), backlog=512)
    except OSError as error:
        why = os.strerror(error.errno or 0)
        raise OSError(
            error.errno, f"the engine can't listen on 127.0.0.1:{port}: {why}; choose another --port"
        ) from error
