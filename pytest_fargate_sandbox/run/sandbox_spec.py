"""What a sandbox is made of, resolved: two tests with the same kind can use each other's prelaunched sandboxes."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple

from pytest_fargate_sandbox.leaves.config import replaced
from pytest_fargate_sandbox.leaves.names import HOST_IMAGE, LOCAL_CLUSTER
from pytest_fargate_sandbox.sandbox.modes.mode_registry import recognised

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.sandbox.workspace import Workspace


class Wants(NamedTuple):
    """What a task takes up, as far as its run counts that."""

    kind: str
    cpu: int


@dataclass(frozen=True)
class SandboxSpec:
    """``config`` and ``outside`` make the task; the rest concerns it once it runs."""

    config: EcsFargateConfig
    outside: tuple[OutsideEndpoint, ...] = ()
    files: Mapping[str, Path] = field(default_factory=dict)
    snapshots: Mapping[str, Path] = field(default_factory=dict)
    """Loaded into its directories, before ``files``."""
    exec_timeout: float | None = None
    force_build: bool = False
    slots: int = 0
    """So many tests its machine is for, each of which has a slot there; 0: it is for this one alone."""
    tenants: str = ""
    """Whom alone its machine has, one at a time, each as a user of the slot's and no more; empty: anybody."""

    @property
    def kind(self) -> str:
        """The same for all specs whose tasks are interchangeable."""
        made_of = [dataclasses.asdict(self.config), [dataclasses.asdict(each) for each in self.outside], self.tenants]
        text = json.dumps(made_of, sort_keys=True, default=repr)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def put_into(self, workspace: Workspace) -> None:
        """What it is to begin with, into one that is started."""
        for directory, snapshot in self.snapshots.items():
            workspace.load(snapshot, directory)
        for remote, local in self.files.items():
            workspace.upload(local, remote)

    @property
    def isolation(self) -> str | None:
        """What has to stand between slots, where it is not the best that can be had."""
        return "user" if self.tenants else None

    @property
    def wants(self) -> Wants:
        return Wants(self.kind, int(self.config.cpu))

    def with_image(self, image: str) -> SandboxSpec:
        """The same with the image that was built from its directory."""
        return dataclasses.replace(self, config=replaced(self.config, image_template=image, environment_dir=None))

    @property
    def shareable(self) -> bool:
        """Whether one test's task would do for another: not where its name, or a port chosen for it, is in the task."""
        mode = recognised(self.config)  # where there is none, the launch has the error to tell
        suits = mode is None or mode.suits_anybody(self.config, self.outside)
        return suits and self.fares_as_its_kind

    @property
    def fares_as_its_kind(self) -> bool:
        """Whether what keeps one from coming up keeps all of its kind: they have the same image."""
        return "{task_id" not in (self.config.image_template or "")

    @property
    def needs_no_trial(self) -> bool:
        """Whether one that comes up says nothing of others, or nothing new: its image is certain to be there.

        So it is of the engine's own, and of one that is built on this machine before any is launched, where none is
        paid for. In a mode that has the image's own command run, that may end as soon as it begins.
        """
        config = self.config
        if not self.fares_as_its_kind:
            return True
        if config.environment_dir:
            is_there = (mode := recognised(config)) is not None and mode.takes_commands
        else:
            is_there = config.image_template in (None, HOST_IMAGE) and not config.task_definition
        return config.cluster == LOCAL_CLUSTER and is_there
