"""What another library imports stands there without having been loaded, until something is wanted of it."""

from __future__ import annotations

import sys
from importlib import metadata
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.later_modules import Later, imported_later, installed_version

if TYPE_CHECKING:
    from pathlib import Path

    import pytest


def _package(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "seldom_wanted").mkdir()
    (folder / "seldom_wanted/__init__.py").touch()
    (folder / "seldom_wanted/part.py").write_text("KNOWN, OTHER = 'the real one', 2\n")
    monkeypatch.syspath_prepend(str(folder))


def test_a_module_loads_when_it_is_asked_for_what_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, monkeypatch)
    import seldom_wanted  # type: ignore[import-not-found]

    with imported_later(Later("seldom_wanted.part", KNOWN=1)):
        import seldom_wanted.part  # type: ignore[import-not-found]
        from seldom_wanted import part
        from seldom_wanted.part import KNOWN

        assert seldom_wanted.part is part
    assert KNOWN == part.KNOWN == 1
    assert "seldom_wanted.part" not in sys.modules, "it was loaded before anything was wanted of it"
    assert part.OTHER == 2
    assert sys.modules["seldom_wanted.part"].KNOWN == "the real one"


def test_who_imports_it_afterwards_or_is_beside_gets_the_real_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    _package(tmp_path, monkeypatch)
    for name in ("seldom_wanted", "seldom_wanted.part"):
        monkeypatch.delitem(sys.modules, name, raising=False)
    import seldom_wanted

    with imported_later(Later("seldom_wanted.part", KNOWN=1)):
        assert seldom_wanted.part.OTHER == 2, "it asked itself"
    from seldom_wanted import part

    assert part.KNOWN == "the real one"


def test_what_was_imported_before_stays_what_it_is() -> None:
    with imported_later(Later("importlib.metadata", version=None)):
        from importlib.metadata import version
    assert version is metadata.version


def test_the_version_of_a_package_is_the_one_that_is_installed() -> None:
    assert installed_version("paramiko") == metadata.version("paramiko")
    assert installed_version("PyYAML") == metadata.version("PyYAML"), "whose directory is named otherwise"
