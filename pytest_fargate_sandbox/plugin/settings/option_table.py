"""One table of options: the command line, the environment, the ini, the header and the docs are made of it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from pytest_fargate_sandbox.leaves.artifact_bounds import WORK_BOUNDS
from pytest_fargate_sandbox.leaves.names import DEFAULT_TTL_SEC, RUNNERS
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

KEEP = ("never", "failed", "always")
"""Which tasks may outlive their test."""

NETWORKS = ("none", "public")
"""What a task may reach."""

VERIFIERS = ("fresh", "shared")
"""Where a task is verified that does not say it."""

ARTIFACTS_WHEN = ("failed", "always")
"""Of which tests artifacts are saved."""


class Option(NamedTuple):
    """One option. ``sets`` is the key of ``EcsFargateConfig`` that it fills; without it the option concerns the run."""

    name: str
    help: str
    kind: Literal["string", "int", "args", "bool"] = "string"
    metavar: str = ""
    sets: str = ""
    default: Any = None
    choices: Collection[str] = ()
    synonyms: Mapping[str, str] = {}
    """What else a choice may be called."""
    least: int = 0
    most: int = (1 << 40) - 1
    word: str = ""
    """What may stand for a number."""
    bare: str = ""
    """What it is on the command line, where it takes no value."""
    takes: Mapping[str, str] = {}
    """Which options it says nothing without, and why."""

    @property
    def flag(self) -> str:
        return "--fargate-" + self.name.replace("_", "-")

    @property
    def variable(self) -> str:
        return "FARGATE_" + self.name.upper()

    @property
    def ini(self) -> str:
        return "fargate_" + self.name

    @property
    def usage(self) -> str:
        value = "" if self.bare else "|".join([*self.choices, *self.synonyms]) or self.metavar
        return f"{self.flag} {value}" if value else self.flag

    @property
    def meaning(self) -> str:
        said = ",".join(self.default) if isinstance(self.default, tuple) else self.default
        notes = [f"with {' and '.join(f'`{OPTIONS[name].flag}`' for name in self.takes)}"] if self.takes else []
        notes += [f"default: `{said}`"] if said not in (None, False) else []
        return self.help + (f" ({'; '.join(notes)})" if notes else "")

    @property
    def key(self) -> str:
        """Its key in the two files."""
        return self.sets or f"run.{self.name}"


_OF_TASKS = {"tasks": "it is about task folders, and none are collected"}

TABLE = (
    Option(
        "cluster", "the ECS cluster; `local` is the embedded engine", metavar="NAME", sets="cluster", default="local"
    ),
    Option("region", "the AWS region", metavar="NAME", sets="region"),
    Option("subnets", "the subnets tasks run in", "args", metavar="ID,ID", sets="subnets"),
    Option("security_groups", "the security groups of tasks", "args", metavar="ID,ID", sets="security_groups"),
    Option(
        "network",
        "what tasks of tests that don't say reach: nothing, or the internet; nothing said: on `local` nothing, on AWS "
        "what their subnets do",
        sets="network",
        choices=NETWORKS,
    ),
    Option("execution_role", "the role that pulls images and writes logs", metavar="ARN", sets="execution_role_arn"),
    Option(
        "config",
        "a JSON, TOML or YAML file with fields of EcsFargateConfig, and with these options",
        metavar="FILE",
    ),
    Option(
        "sidecar_mode",
        f"{' or '.join(row.title for row in MODES.values())} mode, for tests that don't say",
        default="exec",
        choices=MODES,
        synonyms={"none": "ecs-exec"},
    ),
    Option(
        "keep",
        "which tasks outlive their test; the marker's `keep` beats it",
        default="never",
        choices=KEEP,
    ),
    Option(
        "reuse",
        "leave the machines of slots and the sandboxes of the session, as new, to the next run that has this name",
        metavar="NAME",
    ),
    Option("image", "the image of tests that don't name one", metavar="REFERENCE", sets="image_template"),
    Option("cpu", "CPU units of tests that don't say", metavar="UNITS", sets="cpu", default="1024"),
    Option(
        "memory",
        "memory in MiB of tests that don't say; where only one of both is said, the other fits it",
        metavar="MIB",
        sets="memory",
        default="2048",
    ),
    Option(
        "ttl",
        f"seconds after which a task ends by itself; nothing: {DEFAULT_TTL_SEC}, or more where the test may take more",
        "int",
        metavar="SECONDS",
        sets="max_task_lifetime_sec",
        least=1,
    ),
    Option("force_build", "build even the images that are cached, once for the run", "bool", default=False),
    Option(
        "runner",
        "how the embedded engine runs containers",
        default="auto",
        choices=("auto", *RUNNERS),
    ),
    Option(
        "engine",
        "the `--state` directory of a running `fargate-sandbox engine`, which the tests then use",
        metavar="DIR",
    ),
    Option(
        "max_tasks",
        "tasks at once over all workers, counted from RunTask until STOPPED; nothing: no bound",
        "int",
        metavar="N",
        least=1,
    ),
    Option(
        "prelaunch",
        "sandboxes of a kind to have ready or starting ahead of need, times the workers; 0: none; `auto`: as many as "
        "keep workers from waiting, by what launches and tests take",
        "int",
        metavar="auto|N",
        default="auto",
        word="auto",
    ),
    Option(
        "slots",
        "how many slots a machine has that tests share: those of `fargate_slot`, and of the marker's `slot=True`",
        "int",
        metavar="N",
        default=10,
        least=1,
    ),
    Option(
        "infra_retries", "how often a test that met an infrastructure error is run again", "int", metavar="N", default=1
    ),
    Option(
        "artifacts",
        "save there, under each test's name, the files that the marker's `artifacts` names; of failed tests also the "
        "recordings of terminals and the container's log",
        metavar="DIR",
    ),
    Option(
        "tasks",
        "collect task folders (with a `task.toml`, or the older `task.yaml`) as tests; environment and ini name the "
        "directories in which they are looked for",
        "args",
        metavar="DIR,DIR",
        bare="/",
    ),
    Option(
        "repeat",
        "how often each task's solution, and doing nothing, is tried",
        "int",
        metavar="K",
        default=1,
        least=1,
        takes=_OF_TASKS,
    ),
    Option(
        "adversaries",
        "who else tries each task, of `exits`, `forges`, `replaces` and `lingers`; `none`: nobody",
        "args",
        metavar="NAME,NAME",
        default=("exits", "forges", "replaces", "lingers"),
        takes=_OF_TASKS,
    ),
    Option(
        "verifier",
        "where a task is verified that does not say it: in a fresh sandbox, or in its agent's, as Harbor and "
        "terminal-bench do it, where an agent may deceive it",
        choices=VERIFIERS,
        default="fresh",
    ),
    Option(
        "submissions",
        "grade what agents handed in: `TASK` or `AGENT/TASK/TRY` below this directory, each a directory, an archive or "
        "a patch",
        metavar="DIR",
        takes=_OF_TASKS,
    ),
    Option(
        "task_slots",
        "try the tasks that allow it in slots, on machines that many tasks share; where that does not come to what a "
        "sound task comes to, sandboxes of its own decide",
        "bool",
        default=False,
        takes=_OF_TASKS,
    ),
    Option(
        "task_max_bytes",
        "so many bytes of an agent's work at a task cross over to its verifier, or are taken of what was handed in; "
        "more is the agent's failure",
        "int",
        metavar="N",
        default=WORK_BOUNDS.bytes,
        least=1,
    ),
    Option(
        "task_max_files",
        "so many files, directories and links, likewise",
        "int",
        metavar="N",
        default=WORK_BOUNDS.files,
        least=1,
        most=2 * WORK_BOUNDS.files,  # what a sandbox takes at once
    ),
    Option("results", "write a line of JSON for each attempt at a task to this file", metavar="FILE"),
    Option(
        "resume",
        "the `--fargate-results` of an earlier run: what it has a verdict of is not tried again",
        metavar="FILE",
        takes=_OF_TASKS,
    ),
    Option(
        "store",
        "keep what of agents' work was verified, by its content, in this directory or below s3://BUCKET/PREFIX",
        metavar="DIR",
        takes=_OF_TASKS,
    ),
    Option(
        "regrade",
        "the `--fargate-results` of an earlier run with the same `--fargate-store`: what it verified is verified again "
        "where verifiers have changed, and what has changed is told",
        metavar="FILE",
        takes={**_OF_TASKS, "store": "where the work is that was verified then"},
    ),
    Option("quarantine", "tasks that are flaky are added to this file, and those in it are skipped", metavar="FILE"),
    Option("report_json", "write the run, as data, to this file", metavar="FILE"),
    Option(
        "html",
        "write the run, as a page to look at, to this file, which needs no network; of a run that was killed "
        "`fargate-sandbox report` makes it",
        metavar="FILE",
    ),
    Option(
        "compare",
        "tell what is otherwise than in this earlier run: its id, `last`, or the file of its `--fargate-report-json`",
        metavar="RUN",
    ),
)
OPTIONS: Mapping[str, Option] = {option.name: option for option in TABLE}
