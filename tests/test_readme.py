"""The README and the pages are true: tables are the code's, links lead somewhere, and none stands apart."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from pytest_fargate_sandbox.plugin.settings import marker, marker_table
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES
from tests import warm_python

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def test_the_table_of_the_markers_keys_is_the_codes() -> None:
    assert f"-->\n{marker_table.table()}<!-- end of keys -->" in (ROOT / "docs/pytest.md").read_text()
    assert list(marker_table.MEANINGS) == sorted(marker.KEYS, key=list(marker_table.MEANINGS).index)


def test_every_mode_is_a_word_of_the_markers_page() -> None:
    [row] = [line for line in (ROOT / "docs/pytest.md").read_text().splitlines() if line.startswith("| `mode` |")]
    assert [name for name in MODES if f'`"{name}"`' not in row] == []


def test_its_two_commands_are_what_ci_runs() -> None:
    [commands] = re.findall(r"## Quick start\n\n.+\n\n```\n([^`]*)```", README)
    quick, full = (line.partition("#")[0].strip() for line in commands.splitlines())
    assert quick == 'pip install -e ".[local]" && pytest examples'
    run, set_up = ((ROOT / script).read_text() for script in (".ci/run", "tests/set-up"))
    assert 'tests/set-up "$VENV" local\npytest examples\n' in run
    assert '/bin/pip" install --quiet --disable-pip-version-check -e ".[$extra]"\n' in set_up
    assert run.endswith(f"\n{full}\n")


def test_whoever_installs_without_an_extra_is_told_which_one_the_tests_and_examples_want() -> None:
    done = warm_python.run(*warm_python.PYTEST, "-p", "no:xdist", str(ROOT / "examples"))
    assert done.returncode == pytest.ExitCode.USAGE_ERROR
    assert done.stderr.strip() == (
        "ERROR: pytest-xdist is not here: pip install -e '.[local]' for the examples, '.[dev]' for all tests"
    )


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []


def test_every_page_has_its_place_in_the_order_in_which_they_are_read() -> None:
    told = re.findall(r"^[a-z-]+$", (ROOT / "docs/index.md").read_text(), re.MULTILINE)
    assert sorted(told) == sorted(page.stem for page in (ROOT / "docs").glob("*.md") if page.stem != "index")
