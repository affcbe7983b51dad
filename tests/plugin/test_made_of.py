"""A preparation is known by its source, by that of what it uses of the project, and by the values that it takes."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from typing import Any

import pytest

from pytest_fargate_sandbox import ConfigError, EcsFargateConfig
from pytest_fargate_sandbox.plugin import made_of

SOURCE = """
import functools, json
import made_of_helper

VALUE = {"a": [1, "x"]}

def indirect():
    return json.dumps(VALUE)

class Kind:
    flag = 1

def prepare(sandbox, default=1, *, only=2):
    return [indirect() for _ in range(3)], made_of_helper.f, Kind

def around(value):
    def prepare(sandbox):
        return (lambda: value)()
    return prepare

closed = around("v")
partly = functools.partial(around, "p")
"""
HELPER = "def f(): return 1"


class _Project:
    """Its two modules, each time as another process would have them."""

    def __init__(self, root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self._root = root
        self._monkeypatch = monkeypatch
        self._count = 0

    def told(self, name: str, source: str = SOURCE, helper: str = HELPER) -> str:
        self._count += 1
        directory = self._root / str(self._count)
        directory.mkdir()
        self._load(directory / "made_of_helper.py", helper)
        module = self._load(directory / "made_of_conftest.py", source)
        return made_of.preparation(getattr(module, name), self._root)

    def _load(self, path: Path, source: str) -> Any:
        path.write_text(source)
        spec = importlib.util.spec_from_file_location(path.stem, path)
        assert spec
        assert spec.loader
        module = importlib.util.module_from_spec(spec)
        self._monkeypatch.setitem(sys.modules, path.stem, module)
        spec.loader.exec_module(module)
        return module


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> _Project:
    return _Project(tmp_path, monkeypatch)


@pytest.mark.parametrize("name", ["prepare", "closed", "partly"])
def test_it_is_the_same_as_long_as_nothing_of_it_changes(project: _Project, name: str) -> None:
    assert project.told(name) == project.told(name, f"# more\n{SOURCE}\nUNUSED = 1\n")


@pytest.mark.parametrize(
    ("name", "old", "new"),
    [
        ("prepare", "range(3)", "range(4)"),
        ("prepare", "json.dumps(VALUE)", "json.dumps([VALUE])"),
        ("prepare", '[1, "x"]', '[1, "y"]'),
        ("prepare", "default=1", "default=2"),
        ("prepare", "flag = 1", "flag = 2"),
        ("prepare", "return 1", "return 2"),
        ("closed", 'around("v")', 'around("w")'),
        ("partly", '"p"', '"q"'),
    ],
)
def test_it_is_another_when_what_it_uses_changes(project: _Project, name: str, old: str, new: str) -> None:
    assert project.told(name) != project.told(name, SOURCE.replace(old, new), HELPER.replace(old, new))


def test_a_command_is_what_it_says() -> None:
    assert made_of.preparation("make", Path("/")) == made_of.preparation("make", Path("/"))
    assert len({made_of.preparation(command, Path("/")) for command in ("make", ["make"], "make all")}) == 3


def test_what_has_no_source_is_refused() -> None:
    with pytest.raises(ConfigError, match="has no source by which a changed preparation is known"):
        made_of.preparation(print, Path("/"))


def test_files_are_known_by_names_contents_and_modes(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    told = {made_of.files({"d": tmp_path / "d"})}
    (tmp_path / "d/f").write_text("1")
    told.add(made_of.files({"d": tmp_path / "d"}))
    (tmp_path / "d/f").write_text("2")
    told.add(made_of.files({"d": tmp_path / "d"}))
    (tmp_path / "d/f").chmod(0o700)
    told.add(made_of.files({"d": tmp_path / "d"}))
    (tmp_path / "d/l").symlink_to("nowhere")
    told |= {made_of.files({"d": tmp_path / "d"}), made_of.files({"e": tmp_path / "d"})}
    assert len(told) == 6
    assert made_of.files({"d": tmp_path / "d"}) in told


def test_its_task_is_known_by_what_may_show_in_a_tree(tmp_path: Path) -> None:
    def told(**fields: Any) -> str:
        return made_of.task(EcsFargateConfig(cluster="local", **fields))

    (tmp_path / "Dockerfile").write_text("FROM a")
    assert told(max_task_lifetime_sec=60, memory="16384") == told()
    others = {told(), told(image_template="a:1"), told(extra_env={"A": "b"}), told(environment_dir=str(tmp_path))}
    (tmp_path / "Dockerfile").write_text("FROM b")
    assert len(others | {told(environment_dir=str(tmp_path))}) == 5
