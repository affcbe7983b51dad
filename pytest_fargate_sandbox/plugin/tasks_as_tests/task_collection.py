"""Task folders as tests: ``tasks/x/task.toml::oracle``. No code of a task's is ever imported here.

pytest would import each ``conftest.py`` and ``test_*.py`` below a directory that it is given, and those of a task are
written for its sandbox, by whoever wrote the task.
"""

from __future__ import annotations

import types
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.plugin.settings import options

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path


_TOLD = 10


@lru_cache(maxsize=100_000)
def _task_above(directory: Path) -> Path | None:
    """The outermost task folder that the directory is, or is in."""
    from pytest_fargate_sandbox.tasks.task_reading import task_file_in

    above = _task_above(directory.parent) if directory.parent != directory else None
    return above or (directory if task_file_in(directory) else None)


class TaskRoots:
    """The directories in which task folders are looked for; none where nobody asked for that."""

    def __init__(self, config: pytest.Config, said: list[str] | None) -> None:
        base = config.inipath.parent if config.inipath else config.invocation_params.dir
        self._roots = [(base / each).resolve() for each in said or ()]

    def missing(self) -> list[Path]:
        return [root for root in self._roots if not root.is_dir()]

    def task_of(self, path: Path) -> Path | None:
        """The task folder that ``path`` is, or is in."""
        if not self._roots:
            return None
        found = _task_above(path if path.is_dir() else path.parent)
        if found is None or not any(found.resolve().is_relative_to(root) for root in self._roots):
            return None
        return found


def keep_out_of_tasks(early_config: pytest.Config) -> None:
    """Before the first conftest is looked for: from now on none is imported that a task brings along."""
    roots = TaskRoots(early_config, options.said_early(early_config, "tasks"))
    if early_config.inipath is not None and roots.task_of(early_config.inipath):
        raise pytest.UsageError(
            f"{early_config.inipath} is a task's own, and pytest obeys it: give it an ini of yours (-c FILE), or name "
            "a directory above"
        )
    manager: Any = early_config.pluginmanager
    # There is no hook for it: https://github.com/pytest-dev/pytest/blob/9.2.0/src/_pytest/config/__init__.py#L714
    imported = manager._importconftest

    def import_conftest(conftest: Path, *args: Any, **kwargs: Any) -> types.ModuleType:
        if roots.task_of(conftest):
            return types.ModuleType("conftest")
        module: types.ModuleType = imported(conftest, *args, **kwargs)
        return module

    manager._importconftest = import_conftest


class TaskCollection:
    """Registered where task folders were asked for."""

    def __init__(
        self, config: pytest.Config, said: list[str], quarantined: Mapping[str, str], judged: Collection[str]
    ) -> None:
        """``judged``: the tests of which an earlier run has a verdict that this one goes on with."""
        self._roots = TaskRoots(config, said)
        self._quarantined = quarantined
        self._judged = judged

    def pytest_collection_modifyitems(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        self._tell_of_lost(config, items)
        self._mark_twins(config, items)
        done = [item for item in items if item.nodeid in self._judged]
        if done:
            config.hook.pytest_deselected(items=done)
            items[:] = [item for item in items if item.nodeid not in self._judged]
        for item in items if self._quarantined else ():
            why = self._quarantined.get(item.nodeid.partition("::")[0])
            if why is not None:
                item.add_marker(pytest.mark.skip(reason=f"quarantined: {why}"))

    def _tell_of_lost(self, config: pytest.Config, items: list[pytest.Item]) -> None:
        """Once: workers all collect the same."""
        from pytest_fargate_sandbox.plugin.tasks_as_tests.task_items import SUBMISSIONS
        from pytest_fargate_sandbox.plugin.tasks_as_tests.task_reach import TaskWarning

        submissions = config.stash.get(SUBMISSIONS, None)
        if submissions is None or getattr(config, "workerinput", {}).get("workerid", "gw0") != "gw0":
            return
        lost = submissions.without_task({item.path.parent.name for item in items})
        if lost:
            told = ", ".join(map(str, lost[:_TOLD]))
            more = f" and {len(lost) - _TOLD} more" if len(lost) > _TOLD else ""
            warning = TaskWarning(f"no task of this run is meant by {told}{more}")
            try:
                config.issue_config_time_warning(warning, stacklevel=2)
            except TaskWarning:  # warnings are errors here
                if hasattr(config, "workerinput"):
                    raise  # xdist would lose a usage error's sentence
                raise pytest.UsageError(str(warning)) from None

    @staticmethod
    def _mark_twins(config: pytest.Config, items: list[pytest.Item]) -> None:
        """What was handed in names the folder of its task alone."""
        from pytest_fargate_sandbox.plugin.tasks_as_tests.task_items import SUBMISSIONS, TWIN, TaskItem

        if SUBMISSIONS not in config.stash:
            return
        folders: dict[str, set[Path]] = {}
        ours = [item for item in items if isinstance(item, TaskItem)]
        for item in ours:
            folders.setdefault(item.path.parent.name, set()).add(item.path.parent)
        for item in ours:
            twins = folders[item.path.parent.name] - {item.path.parent}
            if twins:
                item.stash[TWIN] = min(twins)

    @pytest.hookimpl(tryfirst=True)
    def pytest_collect_directory(self, path: Path, parent: pytest.Collector) -> pytest.Collector | None:
        task = self._roots.task_of(path)
        if task is None:
            return None
        kind = TaskDirectory if task == path else InsideTask
        return kind.from_parent(parent, path=path)

    @pytest.hookimpl(tryfirst=True)
    def pytest_pycollect_makemodule(self, module_path: Path, parent: pytest.Collector) -> pytest.Module | None:
        if self._roots.task_of(module_path) is None:
            return None
        raise parent.CollectError(_inside(module_path))


class TaskDirectory(pytest.Directory):
    """A task folder. Its one child is the file that makes it one, whatever else lies there."""

    def collect(self) -> Iterator[pytest.Collector]:
        from pytest_fargate_sandbox.plugin.tasks_as_tests.task_items import TaskFile
        from pytest_fargate_sandbox.tasks.task_reading import task_file_in

        file = task_file_in(self.path)
        if file is not None:
            yield TaskFile.from_parent(self, path=file)


class InsideTask(pytest.Directory):
    """A directory in a task folder, which somebody has named."""

    def collect(self) -> Iterator[pytest.Collector]:
        raise self.CollectError(_inside(self.path))


def _inside(path: Path) -> str:
    return f"{path} is inside the task folder {_task_above(path.parent)}, where nothing is a test: name that folder"
