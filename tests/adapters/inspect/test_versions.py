"""Which Inspect it is."""

from __future__ import annotations

from importlib.metadata import requires, version

from packaging.requirements import Requirement


def test_the_inspect_that_is_tried_is_one_of_those_that_the_extra_names() -> None:
    named = [Requirement(each) for each in requires("pytest-fargate-sandbox") or []]
    [inspect] = [each for each in named if each.name == "inspect-ai"]
    assert inspect.specifier.contains(version("inspect-ai"))
