"""What a task says of networks, and what cannot be had of it."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.tasks.task_places import agents_place, verifiers_place
from pytest_fargate_sandbox.tasks.task_reading import read_task
from tests.task_folders import TOML, make_task

if TYPE_CHECKING:
    from pathlib import Path

NONE, PUBLIC = 'network_mode = "no-network"\n', 'network_mode = "public"\n'


@pytest.mark.parametrize(
    ("toml", "agents", "verifiers"),
    [
        (TOML, None, None),
        (TOML + NONE, "none", "none"),
        (TOML + NONE + "[agent]\n" + PUBLIC, "public", "none"),
        (TOML + "[verifier]\n" + NONE, None, "none"),
        (TOML + NONE + '[verifier.environment]\ndocker_image = "host"\n' + PUBLIC, "none", "public"),
        (TOML + NONE + '[[steps]]\nname = "a"\n[steps.verifier]\n' + PUBLIC, "none", "public"),
        (TOML + "allow_internet = false\n", "none", "none"),
    ],
)
def test_the_word_that_is_nearest_counts(tmp_path: Path, toml: str, agents: str | None, verifiers: str | None) -> None:
    folder = read_task(make_task(tmp_path / "t", toml=toml) / "task.toml")
    step = next(iter(folder.config.steps), None)
    assert agents_place(folder).keys(1).get("network") == agents
    assert verifiers_place(folder, step).keys(1).get("network") == verifiers
    assert folder.obstacles == ()


@pytest.mark.parametrize(
    ("toml", "told"),
    [
        (
            f'{TOML}[[steps]]\nname = "a"\n[steps.agent]\n{NONE}[[steps]]\nname = "b"\n',
            "changes between steps (no-network, None)",
        ),
        (f'{TOML}{PUBLIC}[verifier]\nenvironment_mode = "shared"\n{NONE}', "is to have another network (no-network)"),
        (f'{TOML}network_mode = "allowlist"\n', "'allowlist' cannot be enforced yet"),
    ],
)
def test_what_one_sandbox_cannot_have_is_an_obstacle(tmp_path: Path, toml: str, told: str) -> None:
    (obstacle,) = read_task(make_task(tmp_path / "t", toml=toml) / "task.toml").obstacles
    assert told in obstacle
