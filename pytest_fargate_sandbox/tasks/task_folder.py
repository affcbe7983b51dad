"""What a task folder says, whichever format it is written in.

The names and defaults are those of Harbor's ``task.toml``: https://harborframework.com/docs/tasks. What the older
``task.yaml`` of terminal-bench says is told in them as well.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.printable import one_line

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

TASK_FILES = ("task.toml", "task.yaml")
"""What makes a directory a task folder; where it has both, the first."""

SHARED, SEPARATE = "shared", "separate"
"""What ``environment_mode`` may be."""

_LONGEST_NAME = 200
_USUAL_AGENT_SEC, _USUAL_VERIFIER_SEC = 3600.0, 600.0

NETWORK_MODES = ("public", "no-network", "allowlist")


@dataclass(frozen=True)
class HealthCheck:
    """Asked until it answers 0, as by Docker's HEALTHCHECK."""

    command: str
    interval_sec: float = 5.0
    timeout_sec: float = 30.0
    start_period_sec: float = 0.0
    start_interval_sec: float = 5.0
    retries: int = 3


@dataclass(frozen=True)
class Surroundings:
    """``[environment]``: what a sandbox is made of."""

    docker_image: str | None = None
    os: str = "linux"
    cpus: float | None = None
    memory_mb: int | None = None
    storage_mb: int | None = None
    gpus: int | None = None
    gpu_types: list[str] | None = None
    tpu: dict[str, Any] | None = None
    mcp_servers: list[dict[str, Any]] = field(default_factory=list)
    env: dict[str, str] = field(default_factory=dict)
    skills_dir: str | None = None
    healthcheck: HealthCheck | None = None
    workdir: str | None = None
    build_timeout_sec: float = 600.0
    network_mode: str | None = None
    """None: it says nothing, which means public."""
    allowed_hosts: list[str] | None = None
    allow_internet: bool | None = None
    """What ``network_mode`` was called once."""


@dataclass(frozen=True)
class Artifact:
    """A file or a directory that is all a separate verifier sees of what the agent did."""

    source: str
    destination: str | None = None
    exclude: list[str] = field(default_factory=list)
    service: str | None = None


@dataclass(frozen=True)
class Collect:
    """A command that is run where the agent was, before artifacts are taken."""

    command: str
    service: str = "main"
    timeout_sec: float = 60.0
    user: str | int | None = None


@dataclass(frozen=True)
class Agent:
    """``[agent]``"""

    timeout_sec: float | None = None
    user: str | int | None = None
    network_mode: str | None = None
    allowed_hosts: list[str] | None = None


@dataclass(frozen=True)
class Verifier:
    """``[verifier]``. Without ``environment_mode`` it has a sandbox of its own here, and Harbor's has the agent's."""

    timeout_sec: float | None = None
    env: dict[str, str] = field(default_factory=dict)
    user: str | int | None = None
    environment_mode: str | None = None
    environment: Surroundings | None = None
    collect: list[Collect] = field(default_factory=list)
    network_mode: str | None = None
    allowed_hosts: list[str] | None = None


@dataclass(frozen=True)
class Step:
    """One of several instructions to the same agent in the same sandbox, each with a verdict of its own."""

    name: str
    agent: Agent = field(default_factory=Agent)
    verifier: Verifier = field(default_factory=Verifier)
    min_reward: float | dict[str, float] | None = None
    healthcheck: HealthCheck | None = None
    artifacts: list[Artifact] = field(default_factory=list)


@dataclass(frozen=True)
class Solution:
    """``[solution]``"""

    env: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Package:
    """``[task]``: how a registry knows it."""

    name: str
    version: str | None = None
    description: str = ""
    authors: list[dict[str, Any]] = field(default_factory=list)
    keywords: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class TaskConfig:
    """A whole ``task.toml``."""

    schema_version: str = "1.4"
    task: Package | None = None
    metadata: dict[str, Any] = field(default_factory=dict)
    verifier: Verifier = field(default_factory=Verifier)
    agent: Agent = field(default_factory=Agent)
    environment: Surroundings = field(default_factory=Surroundings)
    solution: Solution = field(default_factory=Solution)
    source: str | None = None
    multi_step_reward_strategy: str | None = None
    steps: list[Step] = field(default_factory=list)
    artifacts: list[Artifact] = field(default_factory=list)

    @property
    def parts(self) -> Sequence[Step | None]:
        """What is done one after the other, each with a verdict of its own: its steps, or the whole, which is None."""
        return self.steps or [None]


@dataclass(frozen=True)
class Layout:
    """Where things lie in a folder, which the two formats differ in."""

    dockerfile: str = "environment/Dockerfile"
    compose: str = "environment/docker-compose.yaml"
    instruction: str = "instruction.md"
    solution: str = "solution/solve.sh"
    test: str = "tests/test.sh"
    solution_goes_to: str = "/solution"


HARBOR = Layout()
TERMINAL_BENCH = Layout(
    dockerfile="Dockerfile",
    compose="docker-compose.yaml",
    instruction="",
    solution="solution.sh",
    test="run-tests.sh",
    solution_goes_to="/oracle",
)


@dataclass(frozen=True)
class TaskFolder:
    """A task: what its file says, where it is, and what of it cannot be had here."""

    path: Path
    """The folder."""
    file: Path
    """``task.toml`` or ``task.yaml``."""
    config: TaskConfig
    layout: Layout = HARBOR
    written_instruction: str = ""
    """Where it stands in the file itself."""
    obstacles: tuple[str, ...] = ()
    """Sentences about what it asks for and cannot have: its tests are skipped, since any verdict could be wrong."""
    warnings: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()
    """For who writes it, not for who runs it."""

    @property
    def name(self) -> str:
        return one_line(self.config.task.name, _LONGEST_NAME) if self.config.task else self.path.name

    @property
    def is_terminal_bench(self) -> bool:
        return self.file.suffix == ".yaml"

    @property
    def instruction(self) -> str:
        """Without the mark that tells crawlers not to train on it, and would tell the agent where it comes from."""
        return self.written_instruction or without_canary(self._text(self.path / self.layout.instruction))

    def step_instruction(self, step: Step) -> str:
        return without_canary(self._text(self.path / "steps" / step.name / "instruction.md"))

    def seconds(self, step: Step | None) -> float:
        """How long agent and verifier may take over it together."""
        return self.agent_sec(step) + self.verifier_sec(step)

    def agent_sec(self, step: Step | None) -> float:
        """How long the agent may take over this part of it."""
        own = step.agent.timeout_sec if step else None
        return own or self.config.agent.timeout_sec or _USUAL_AGENT_SEC

    def verifier_sec(self, step: Step | None) -> float:
        """How long its verifier may take over it."""
        own = step.verifier.timeout_sec if step else None
        return own or self.config.verifier.timeout_sec or _USUAL_VERIFIER_SEC

    def _text(self, path: Path) -> str:
        """Of a file in the folder: nobody is told what stands elsewhere."""
        if not (path.is_file() and path.resolve().is_relative_to(self.path.resolve())):
            return ""
        return path.read_text(encoding="utf-8", errors="replace")


def without_canary(text: str) -> str:
    """``text`` without the comments about a canary that it begins with."""
    lines = text.split("\n")
    first = next((number for number, line in enumerate(lines) if not _is_canary(line.strip())), len(lines))
    return "\n".join(lines[first:]).lstrip("\n") if first else text


def _is_canary(line: str) -> bool:
    told = line.lower()
    return "canary" in told and (told.startswith("#") or (told.startswith("<!--") and told.endswith("-->")))
