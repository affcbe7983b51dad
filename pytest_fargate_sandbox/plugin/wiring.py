"""Which of our plugin objects a process needs, and how they hang together."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin import last_run
from pytest_fargate_sandbox.plugin.ahead import AHEAD, Ahead
from pytest_fargate_sandbox.plugin.allowed_changes import AllowedChanges
from pytest_fargate_sandbox.plugin.controller import Controller, Interrupts
from pytest_fargate_sandbox.plugin.ending_signals import EndingSignals
from pytest_fargate_sandbox.plugin.leases import LEASES, Leases
from pytest_fargate_sandbox.plugin.pytest_run import RUN, PytestRun
from pytest_fargate_sandbox.plugin.rerun import Reruns
from pytest_fargate_sandbox.plugin.settings.engine_choice import EngineChoice
from pytest_fargate_sandbox.plugin.settings.run_settings import SETTINGS
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_attempts import TaskReports
from pytest_fargate_sandbox.plugin.tasks_as_tests.task_results import TaskResults
from pytest_fargate_sandbox.plugin.telling.artifacts import Artifacts
from pytest_fargate_sandbox.plugin.telling.outcome_book import OutcomeBook
from pytest_fargate_sandbox.plugin.telling.progress import Progress
from pytest_fargate_sandbox.plugin.telling.reports import Reports
from pytest_fargate_sandbox.plugin.telling.run_book import RunBook
from pytest_fargate_sandbox.plugin.telling.summary import Summary
from pytest_fargate_sandbox.plugin.telling.traces import TRACES, Traces
from pytest_fargate_sandbox.tasks.attempt_record import is_evaluable, records_in

if TYPE_CHECKING:
    from pathlib import Path


def wire(config: pytest.Config, late: pytest.FixtureRequest | None = None) -> Leases:
    """Everything for a process that runs tests which use sandboxes. Doing it twice is doing it once.

    ``late``: the request of a fixture, where no test was seen to ask for it.
    """
    if LEASES not in config.stash:
        run = wire_controller(config) if not hasattr(config, "workerinput") else _run_of(config)
        run.take_name()
        leases = Leases(config.stash[SETTINGS], run, last_run.recall(config))
        config.stash[LEASES], config.stash[AHEAD] = leases, Ahead(config, leases)
        _register(
            config,
            leases=leases,
            setups=leases.setups,
            ahead=config.stash[AHEAD],
            allowed_changes=AllowedChanges(leases),
            reruns=Reruns(leases),
            reports=Reports(config, leases, _artifacts(config, run)),
            task_reports=TaskReports(),
        )
        if late is not None:
            leases.setups.come_late(late)
    return config.stash[LEASES]


def _artifacts(config: pytest.Config, run: PytestRun) -> Artifacts:
    name = config.stash[SETTINGS].run["artifacts"]
    return Artifacts(config.invocation_params.dir / name if name else None, run)


def wire_tasks(config: pytest.Config) -> None:
    """What the process needs to have task folders for tests."""
    from pytest_fargate_sandbox.plugin.tasks_as_tests.slots_for_tasks import SLOTS, SlotsForTasks
    from pytest_fargate_sandbox.plugin.tasks_as_tests.task_collection import TaskCollection, TaskRoots
    from pytest_fargate_sandbox.plugin.tasks_as_tests.task_items import REGRADED, STORE, SUBMISSIONS, check_adversaries
    from pytest_fargate_sandbox.plugin.tasks_as_tests.task_schedule import TaskSchedule
    from pytest_fargate_sandbox.tasks.crossing_store import store_at
    from pytest_fargate_sandbox.tasks.submissions import Submissions

    for name, meaning in _TASK_MARKS.items():
        config.addinivalue_line("markers", f"{name}: {meaning}")
    run = config.stash[SETTINGS].run
    for missing in TaskRoots(config, run["tasks"]).missing():
        raise pytest.UsageError(f"{config.stash[SETTINGS].sources['run.tasks']}: there is no directory {missing}")
    check_adversaries(run["adversaries"])
    handed_in = _path(config, "submissions")
    if handed_in is not None:
        if not handed_in.is_dir():
            raise pytest.UsageError(f"--fargate-submissions: there is no directory {handed_in}")
        config.stash[SUBMISSIONS] = Submissions(handed_in)
    where = run["store"]
    if where is not None:
        config.stash[STORE] = store_at(where, config.invocation_params.dir)
    if run["task_slots"]:
        config.stash[SLOTS] = SlotsForTasks(lambda: _run_of(config).directory)
        _register(config, task_schedule=TaskSchedule())
    if run["regrade"] is not None:
        config.stash[REGRADED] = _records(config, "regrade")
    collection = TaskCollection(config, run["tasks"], _quarantined(config), _earlier(config))
    _register(config, task_collection=collection)
    if not hasattr(config, "workerinput"):
        wire_controller(config)


def _path(config: pytest.Config, option: str) -> Path | None:
    name = config.stash[SETTINGS].run[option]
    return config.invocation_params.dir / name if name else None


def _quarantined(config: pytest.Config) -> dict[str, str]:
    from pytest_fargate_sandbox.tasks.quarantine import read_quarantine

    path = _path(config, "quarantine")
    try:
        return read_quarantine(path) if path else {}
    except (OSError, ValueError) as error:
        raise pytest.UsageError(f"--fargate-quarantine: {path} cannot be read: {error}") from None


def _earlier(config: pytest.Config) -> dict[str, dict[str, Any]]:
    """What a run found that this one goes on with."""
    return {test: record for test, record in _records(config, "resume").items() if is_evaluable(record)}


def _records(config: pytest.Config, option: str) -> dict[str, dict[str, Any]]:
    path = _path(config, option)
    try:
        return records_in(path) if path else {}
    except ConfigError as error:
        raise pytest.UsageError(f"--fargate-{option}: {error}") from None


_TASK_MARKS = {
    "oracle": "of a task folder: its own solution has to get the whole reward",
    "nop": "of a task folder: doing nothing must not get it",
    "submission": "of a task folder: what an agent handed in",
    "adversary": "of a task folder: who wants the reward without doing the task must not get it",
}


def wire_controller(config: pytest.Config) -> PytestRun:
    """What the process needs that outlives all others of the run."""
    first = RUN not in config.stash
    run = _run_of(config)
    if first:
        settings = config.stash[SETTINGS]
        book = OutcomeBook()
        run_book = RunBook(config, run, book)
        run_book.check()
        controller = Controller(config, settings, run, book, run_book)
        _register(
            config,
            controller=controller,
            interrupts=Interrupts(run),
            run_book=run_book,
            summary=Summary(settings, run, controller, run_book),
            progress=Progress(config, run),
            outcome_book=book,
            task_results=TaskResults(
                _path(config, "results"), _path(config, "quarantine"), _earlier(config), run_book.attempt
            ),
        )
    return run


def _run_of(config: pytest.Config) -> PytestRun:
    if RUN not in config.stash:
        settings = config.stash[SETTINGS]
        config.stash[RUN] = PytestRun(config, settings)
        _register(config, signals=EndingSignals(config.stash[RUN]), engine_choice=EngineChoice(settings))
        config.stash[TRACES] = Traces(config)
        _register(config, traces=config.stash[TRACES])
    return config.stash[RUN]


def _register(config: pytest.Config, **plugins: object) -> None:
    for name, plugin in plugins.items():
        config.pluginmanager.register(plugin, f"fargate_sandbox_{name}")
