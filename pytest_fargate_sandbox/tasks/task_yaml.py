"""terminal-bench's ``task.yaml``, with what its ``docker-compose.yaml`` says of the one container."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.tasks.compose_file import only_service
from pytest_fargate_sandbox.tasks.parsed_yaml import parsed_yaml
from pytest_fargate_sandbox.tasks.table_reader import TableReader
from pytest_fargate_sandbox.tasks.task_folder import (
    TERMINAL_BENCH,
    Agent,
    Surroundings,
    TaskConfig,
    TaskFolder,
    Verifier,
)

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class _TaskYaml:
    instruction: str
    parser_name: str = "pytest"
    max_agent_timeout_sec: float = 360.0
    max_test_timeout_sec: float = 60.0
    run_tests_in_same_shell: bool = False
    disable_asciinema: bool = False
    # What is told of a task to people, in whichever words: nothing hangs on it.
    difficulty: Any = None
    author_name: Any = None
    author_email: Any = None
    category: Any = None
    tags: Any = None
    estimated_duration_sec: Any = None
    expert_time_estimate_min: Any = None
    junior_time_estimate_min: Any = None


def read_yaml(file: Path) -> TaskFolder:
    """Raises ``TaskFolderError``."""
    text = file.read_text(encoding="utf-8")
    reader = TableReader(file, text)
    said = reader.read(_TaskYaml, parsed_yaml(file, text))
    obstacles = []
    if said.parser_name != "pytest":
        obstacles.append(f"its parser_name is {said.parser_name!r}, and only pytest's output is understood here")
    if said.run_tests_in_same_shell:
        obstacles.append("it has its tests run in the agent's own shell, where the agent decides what they see")
    if not (file.parent / "solution.sh").is_file() and (file.parent / "solution.yaml").is_file():
        obstacles.append("its solution is a solution.yaml, keys for a terminal, which nobody types here")
    service = only_service(file.parent / TERMINAL_BENCH.compose)
    config = TaskConfig(
        environment=Surroundings(docker_image=service.image, workdir=service.working_dir, env=service.environment),
        agent=Agent(timeout_sec=said.max_agent_timeout_sec),
        verifier=Verifier(timeout_sec=said.max_test_timeout_sec, env={"TEST_DIR": "/tests"}),
    )
    return TaskFolder(
        path=file.parent,
        file=file,
        config=config,
        layout=dataclasses.replace(TERMINAL_BENCH, dockerfile=service.dockerfile),
        written_instruction=said.instruction,
        obstacles=tuple(obstacles),
        warnings=(*reader.warnings, *service.warnings),
    )
