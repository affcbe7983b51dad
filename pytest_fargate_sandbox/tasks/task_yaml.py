"""terminal-bench's ``task.yaml``, and the one thing that is read of a ``docker-compose.yaml``: its services.

Reading YAML takes PyYAML, which moto brings along.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import TaskFolderError
from pytest_fargate_sandbox.tasks.table_reader import TableReader
from pytest_fargate_sandbox.tasks.task_folder import TERMINAL_BENCH, Agent, TaskConfig, TaskFolder, Verifier

if TYPE_CHECKING:
    from pathlib import Path


@dataclass(frozen=True)
class _TaskYaml:
    instruction: str
    difficulty: str = ""
    author_name: str = ""
    author_email: str = ""
    category: str = ""
    tags: list[Any] = field(default_factory=list)
    parser_name: str = "pytest"
    max_agent_timeout_sec: float = 360.0
    max_test_timeout_sec: float = 60.0
    run_tests_in_same_shell: bool = False
    disable_asciinema: bool = False
    estimated_duration_sec: float | None = None
    expert_time_estimate_min: float | None = None
    junior_time_estimate_min: float | None = None


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
    config = TaskConfig(
        agent=Agent(timeout_sec=said.max_agent_timeout_sec),
        verifier=Verifier(timeout_sec=said.max_test_timeout_sec, env={"TEST_DIR": "/tests"}),
    )
    return TaskFolder(
        path=file.parent,
        file=file,
        config=config,
        layout=TERMINAL_BENCH,
        written_instruction=said.instruction,
        obstacles=tuple(obstacles),
        warnings=tuple(reader.warnings),
    )


def services_in(compose: Path) -> list[str]:
    """The names of the services in a compose file."""
    table = parsed_yaml(compose, compose.read_text(encoding="utf-8"))
    services = table.get("services") if isinstance(table, dict) else None
    return sorted(map(str, services)) if isinstance(services, dict) else []


def parsed_yaml(file: Path, text: str) -> Any:
    try:
        import yaml  # type: ignore[import-untyped]
    except ImportError:
        raise TaskFolderError(f"{file}: reading YAML takes PyYAML: pip install pyyaml", path=str(file)) from None
    try:
        return yaml.safe_load(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise TaskFolderError(
            f"{file}:{line}:{column}: does not parse: {error.problem}", path=str(file), line=line, column=column
        ) from None
    except (yaml.YAMLError, ValueError) as error:  # a character that is none, or a date that is none
        raise TaskFolderError(f"{file}: does not parse: {error}", path=str(file)) from None
