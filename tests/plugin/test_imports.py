"""What the plugin costs a project that does not use it."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING

from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    import pytest

HEAVY = ("boto3", "botocore", "paramiko", "moto", "cryptography", "filelock", "yaml", "asyncio", "opentelemetry")


def loaded_after(statement: str) -> set[str]:
    code = f"{statement}\nimport sys\nprint('\\n'.join(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return set(done.stdout.split())


def test_importing_the_plugin_imports_nothing_heavy() -> None:
    assert not loaded_after("import pytest_fargate_sandbox.plugin").intersection(HEAVY)


def test_a_run_that_does_not_use_the_plugin_imports_nothing_heavy(tmp_path: object) -> None:
    options = ["-q", "-pno:cacheprovider", "-pno:xdist", "-pno:anyio", str(tmp_path)]
    run = f"import pytest\npytest.main({options!r})"
    loaded = loaded_after(run)
    assert not loaded.intersection(HEAVY)
    assert "pytest_fargate_sandbox.leaves.config" not in loaded


def test_all_of_the_package_can_be_imported_at_once_without_what_extras_bring() -> None:
    hidden = "import sys; sys.modules['anyio'] = sys.modules['websockets'] = sys.modules['pyte'] = None"
    program = f"{hidden}; from pytest_fargate_sandbox import *; print(EcsFargateSandbox.__name__)"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "EcsFargateSandbox\n"


MADE = """
import sys

made, counts = [], []
sys.addaudithook(lambda event, arguments: event == "os.mkdir" and made.append(arguments[0]))

def pytest_runtest_logfinish():
    counts.append(len(made))

def pytest_terminal_summary(terminalreporter):
    terminalreporter.write_line(f"{counts[-1] - counts[0]} while {len(counts)} tests ended")
"""


def test_a_report_has_the_controller_look_for_no_place_where_records_are(pytester: pytest.Pytester) -> None:
    """To find it, and make it where it is missing, took a millisecond of each test."""
    pytester.makeconftest(MADE)
    pytester.makepyfile("import pytest\n@pytest.mark.parametrize('n', range(5))\ndef test_it(n): pass")
    run_pytest(pytester, "-n1").stdout.fnmatch_lines(["0 while 5 tests ended"])


def test_what_is_ours_is_loaded_as_python_compiled_it_and_not_compiled_again_by_each_worker(tmp_path: object) -> None:
    run = f"import pytest\npytest.main({['-q', '-pno:cacheprovider', '-pno:xdist', '-pno:anyio', str(tmp_path)]!r})"
    found = "print(*{type(sys.modules[name].__loader__).__name__ for name in sys.modules if name.startswith(OURS)})"
    program = f"{run}\nimport sys\nOURS = 'pytest_fargate_sandbox.plugin.settings.'\n{found}"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "SourceFileLoader"
