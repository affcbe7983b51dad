"""What JUnit's XML, Allure and whoever else reads reports get to know of a test's sandboxes, each in its own way.

A property of the test for each fact, which every report has; for Allure, which reads no properties, a parameter and an
attachment.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.plugin.telling.artifacts import FILE

if TYPE_CHECKING:
    from collections.abc import Iterator

    import pytest

    from pytest_fargate_sandbox.plugin.telling.artifacts import Saved
    from pytest_fargate_sandbox.run.lease import Lease

STORY = "fargate_story"


def tell(
    item: pytest.Item,
    report: pytest.TestReport,
    error: BaseException | None,
    stories: list[tuple[Lease, str]],
    saved: Saved | None,
) -> None:
    """``stories`` are of all its sandboxes, empty where the test has not failed."""
    facts = [*_facts(error, stories), *(saved.facts() if saved else ())]
    told = [fact for fact in dict.fromkeys(facts) if fact not in item.user_properties]
    item.user_properties += told
    report.user_properties = list(item.user_properties)
    if told and item.config.pluginmanager.has_plugin("allure_listener"):
        _tell_allure(told)


def _facts(error: BaseException | None, stories: list[tuple[Lease, str]]) -> Iterator[tuple[str, str]]:
    for lease, story in stories:
        sandbox = lease.sandbox
        known = {"task": sandbox.task_arn, "image": sandbox.image, "cause": sandbox.cause}
        yield from ((f"fargate_{name}", value) for name, value in known.items() if value)
        if story:
            yield STORY, story
    # Of a sandbox that did not come up there is no lease, but its error knows.
    context: dict[str, Any] = getattr(error, "context", None) or {}
    for name, key in (("task", "task_arn"), ("cause", "cause")):
        if context.get(key):
            yield f"fargate_{name}", str(context[key])


def _tell_allure(told: list[tuple[str, str]]) -> None:
    """A task has another name each time: as a part of what makes a test itself, it would cut the test's history."""
    import allure

    for name, value in told:
        if name == STORY:
            allure.attach(value, name="sandbox", attachment_type=allure.attachment_type.TEXT)
        elif name == FILE and Path(value).is_file():
            allure.attach.file(value, name=Path(value).name)
        else:
            allure.dynamic.parameter(name, value, excluded=True)
