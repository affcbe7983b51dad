"""The README is true: its table is the code's, its examples run, its links lead somewhere."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from pytest_fargate_sandbox.plugin import options
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
BLOCKS = re.findall(r"```python\n(.*?)```", README, re.DOTALL)


def test_the_table_of_options_is_the_codes() -> None:
    assert f"-->\n{options.table()}<!-- end of options -->" in README


def test_every_mode_is_a_word_of_the_markers_page() -> None:
    [row] = [line for line in (ROOT / "docs/pytest.md").read_text().splitlines() if line.startswith("| `mode` |")]
    assert [name for name in MODES if f'`"{name}"`' not in row] == []


def test_its_two_commands_are_what_ci_runs() -> None:
    [commands] = re.findall(r"## Quick start\n\n```\n(.*?)```", README, re.DOTALL)
    quick, full = (line.partition("#")[0].strip() for line in commands.splitlines())
    assert quick == 'pip install -e ".[local]" && pytest examples'
    run, set_up = ((ROOT / script).read_text() for script in (".ci/run", "tests/set-up"))
    assert 'tests/set-up "$VENV" local\npytest examples\n' in run
    assert '/bin/pip" install --quiet --disable-pip-version-check -e ".[$extra]"\n' in set_up
    assert run.endswith(f"\n{full}\n")


@pytest.mark.needs("namespaces")
def test_the_first_test_passes_with_nothing_configured(pytester: pytest.Pytester) -> None:
    [test] = [block for block in BLOCKS if "def test_hello" in block]
    pytester.makepyfile(test)
    pytester.runpytest_subprocess("-p", "no:cacheprovider").assert_outcomes(passed=1)


@pytest.mark.needs("namespaces")
def test_the_script_prints_what_it_says(tmp_path: Path) -> None:
    [script] = [block for block in BLOCKS if "sandbox.start()" in block]
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, check=True, stdout=subprocess.PIPE, text=True)
    assert done.stdout == "hello\n\n"


@pytest.mark.parametrize(
    "page", ["README.md", "CONTRIBUTING.md", *(f"docs/{page.name}" for page in (ROOT / "docs").glob("*.md"))]
)
def test_links_lead_somewhere(page: str) -> None:
    text = (ROOT / page).read_text()
    targets = [target.partition("#")[0] for target in re.findall(r"\]\(([^)]+)\)", text) if "://" not in target]
    assert [target for target in targets if not ((ROOT / page).parent / target).exists()] == []
