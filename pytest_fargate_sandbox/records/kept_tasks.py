"""Tasks that outlive their test: what it takes to enter them, in files that nobody else can read."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, write_private

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path


@dataclass(frozen=True)
class KeptTask:
    """One kept task. ``keyring`` is in clear."""

    task_arn: str
    task_id: str
    run_id: str
    host: str
    image: str
    expires: int
    keyring: dict[str, Any]
    cfg: dict[str, Any]
    place: dict[str, Any]
    """Cluster, region, endpoint and engine, as in a ledger."""
    ledger_entry: str

    @property
    def id(self) -> str:
        """The last part of the ARN: what a person types."""
        return self.task_arn.rpartition("/")[2]

    @property
    def path(self) -> Path:
        return _path(self.id)

    @property
    def config(self) -> EcsFargateConfig:
        return EcsFargateConfig.from_dict(self.cfg)

    def save(self) -> None:
        write_private(self.path, json.dumps(asdict(self)))

    def forget(self) -> None:
        """The keys go with the task."""
        self.path.unlink(missing_ok=True)


def kept_tasks() -> Iterator[KeptTask]:
    """All that this user has kept on this machine, and has not ended by our means."""
    for path in sorted(cache_directory("kept").glob("*.json")):
        if kept := _read(path):
            yield kept


def kept_task(task_arn: str) -> KeptTask | None:
    """That one, if it is kept."""
    return _read(_path(task_arn.rpartition("/")[2]))


def _read(path: Path) -> KeptTask | None:
    """None of one that has just been forgotten, or that another version of this package has kept in another form."""
    try:
        return KeptTask(**json.loads(path.read_text()))
    except (FileNotFoundError, ValueError, TypeError):
        return None


def _path(task_id: str) -> Path:
    return cache_directory("kept") / f"{task_id}.json"
