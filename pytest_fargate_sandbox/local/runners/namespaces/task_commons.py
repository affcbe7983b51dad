"""What all tasks of one namespaces runner share."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces.event_loop import Loop
from pytest_fargate_sandbox.local.runners.network.task_addresses import ClaimedAddress

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.local.runners.namespaces.image_directories import ImageDirectories
    from pytest_fargate_sandbox.local.runners.namespaces.portable_python import Runtime

_LOG = logging.getLogger(__name__)


class TaskCommons:
    """Made by the runner, read by its tasks.

    ``forget`` is called with the id of one that is gone, ``kill_holder`` with that of one whose holder does not answer.
    """

    def __init__(
        self, images: ImageDirectories, runtime: Runtime, gate_address: tuple[str, int], *, rootless: bool,
        forget: Callable[[str], None], kill_holder: Callable[[str], None],
    ) -> None:  # fmt: skip
        self.images = images
        self.runtime = runtime
        self.gate_address = gate_address
        self.rootless = rootless
        self.forget = forget
        self.kill_holder = kill_holder
        # One task's trouble must not end what all of them lean on.
        self.loop = Loop(on_error=lambda: _LOG.exception("The namespaces runner met an error that it goes on from"))
        self.claim_address = ClaimedAddress
