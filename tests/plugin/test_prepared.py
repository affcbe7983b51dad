"""``fargate_prepared``: done once for all workers and for later runs, and each test begins with what it left."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import Snapshot
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from pathlib import Path


pytestmark = [pytest.mark.needs("another user"), pytest.mark.usefixtures("shared_engine_log")]

SMALL = "--fargate-cpu=256", "--fargate-memory=512"

SEEDED = """
import pathlib, pytest

def noted(sandbox, name):
    with open(pathlib.Path(__file__).parent / name, "a") as done:
        done.write("x")
    sandbox.exec("echo 1 >value; echo >some.log; chmod 4711 value", check=True)

@pytest.fixture
def seeded(fargate_prepared):
    @fargate_prepared("seeded", slot=True, exclude=["*.log"])
    def sandbox(sandbox):
        noted(sandbox, "seeded")
    return sandbox

@pytest.fixture
def fed(fargate_prepared):
    return fargate_prepared("fed", lambda sandbox: noted(sandbox, "fed"), slot=True, made_from=["input.txt"])
"""

TESTS = """
import pytest

@pytest.mark.parametrize("number", range(2))
def test_each(seeded, fed, number):
    assert seeded.exec("ls; stat -c %a value").stdout == "value\\n4711\\n"
    assert not seeded.changes()
    seeded.exec("echo >mine", check=True)
    assert seeded.changes().added == ("mine",)
"""


def _run(pytester: pytest.Pytester, *args: str) -> pytest.RunResult:
    return run_pytest(pytester, "-p", "no:cacheprovider", *args, *SMALL)


def _times(pytester: pytest.Pytester, name: str = "done") -> int:
    return len((pytester.path / name).read_text())


def test_it_is_done_once_and_again_only_when_what_it_is_made_of_has_changed(
    pytester: pytest.Pytester, tmp_path: Path
) -> None:
    (pytester.path / "input.txt").write_text("one")
    pytester.makeconftest(SEEDED)
    pytester.makepyfile(TESTS)
    _run(pytester, "-n2").assert_outcomes(passed=2)
    assert (_times(pytester, "seeded"), _times(pytester, "fed")) == (1, 1)
    kept = list((tmp_path / "cache/pytest-fargate-sandbox/prepared").glob("*.tar"))
    assert {each.stat().st_mode & 0o777 for each in kept} == {0o600}
    assert {Snapshot.open(each).exclude for each in kept} == {("*.log",), ()}
    (pytester.path / "input.txt").write_text("two")
    _run(pytester, "-p", "no:xdist", "-k", "test_each and 0").assert_outcomes(passed=1, deselected=1)
    assert (_times(pytester, "seeded"), _times(pytester, "fed")) == (1, 2)


def test_its_failure_is_everybodys(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import pathlib, pytest

@pytest.fixture(params=["command", "assertion", "fail"])
def broken(request, fargate_prepared):
    def assertion(sandbox):
        with open(pathlib.Path(__file__).parent / "done", "a") as done:
            done.write("x")
        assert sandbox.exec("echo 1").stdout == "2"

    def fail(sandbox):
        with open(pathlib.Path(__file__).parent / "done", "a") as done:
            done.write("x")
        pytest.fail("not today")

    prepare = {"command": "echo what it said; exit 3", "assertion": assertion, "fail": fail}[request.param]
    return fargate_prepared(request.param, prepare, path="/srv/data")
"""
    )
    pytester.makepyfile(
        """
def test_one(broken): pass
def test_other(broken): pass
"""
    )
    result = _run(pytester, "-n2", "--fargate-prelaunch=0")
    result.assert_outcomes(errors=6)
    assert _times(pytester) == 2
    text = result.stdout.str()
    assert text.count("preparing 'command': command returned 3: echo what it said; exit 3") >= 2
    assert text.count("preparing 'assertion': AssertionError") >= 2
    assert text.count("preparing 'fail': not today") >= 2


def test_what_is_wrong_with_it_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

def test_one(fargate_prepared):
    sandbox = fargate_prepared("name", "mkdir /srv/data; echo 1 >/srv/data/a", path="/srv/data")
    assert sandbox.read_file("/srv/data/a") == b"1\\n"

def test_other(fargate_prepared):
    fargate_prepared("name", "echo 2 >a", path="/srv/data", exclude=["b"])

def test_nothing_to_tell_it_by(fargate_prepared):
    fargate_prepared("odd", print)

def test_missing_file(fargate_prepared):
    fargate_prepared("missing", "true", made_from="nowhere.txt")

def test_key(fargate_prepared):
    fargate_prepared("key", "true", slots=True)

@pytest.mark.parametrize(("told", "call"), [
    ("name=5: expected what is prepared by a name", lambda make, ensure: make(5)),
    ("name=<function .*: expected what is prepared by a name", lambda make, ensure: make(lambda sandbox: None)),
    ("prepare=5: expected a function that takes the sandbox, or a command", lambda make, ensure: make("n", 5)),
    ("path=5: expected a path in the sandbox", lambda make, ensure: make("n", "true", path=5)),
    ("exclude='[*].o': expected a list of globs", lambda make, ensure: make("n", "true", exclude="*.o")),
    ("directory=5: expected a path on this side", lambda make, ensure: ensure(5)),
    ("directory='': expected a path on this side", lambda make, ensure: ensure("")),
])
def test_words(fargate_prepared, fargate_images, told, call):
    with pytest.raises(ValueError, match=told):
        call(fargate_prepared, fargate_images)
"""
    )
    result = _run(pytester, "-p", "no:xdist")
    result.assert_outcomes(passed=8, failed=4)
    result.stdout.fnmatch_lines(
        [
            "*fargate_prepared('name'): two preparations of this name differ in path and exclude, prepare: give*",
            "*fargate_prepared: <built-in function print> has no source by which a changed preparation is known*",
            "*fargate_prepared('missing'): made_from names nowhere.txt, and there is none at /*nowhere.txt",
            "*fargate_prepared('key'): fargate has no key 'slots'; did you mean 'slot'?*",
        ]
    )


def test_sandboxes_are_launched_ahead_once_it_is_known_of_what_kind_they_are(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
import pytest

@pytest.fixture
def data(fargate_prepared):
    return fargate_prepared("data", "mkdir -p /srv/data", path="/srv/data", cpu=512, memory=1024)

@pytest.mark.fargate(allowed_changes=[])
@pytest.mark.parametrize("number", range(2))
def test_it(data, number):
    assert data.exec("sleep 1").ok
"""
    )
    result = _run(pytester, "-p", "no:xdist", "--fargate-prelaunch=1", "--fargate-report-json=report.json")
    result.assert_outcomes(passed=2)
    told = json.loads((pytester.path / "report.json").read_text())
    assert [each["prelaunched"] for each in told["sandboxes"]].count(True) >= 1
    assert told["counts"]["launched"] == 3, "one for the preparation, and one for each test"


def test_a_machine_of_its_own_begins_with_it_too_and_files_of_the_test_come_on_top(pytester: pytest.Pytester) -> None:
    (pytester.path / "mine.txt").write_text("mine")
    pytester.makepyfile(
        """
import pytest

@pytest.mark.fargate(files={"/srv/data/mine.txt": "mine.txt"}, allowed_changes=["out/*.txt"])
@pytest.mark.parametrize("where", ["out/a.txt", "mine.txt"])
def test_it(fargate_prepared, where):
    prepare = "mkdir -p /srv/data && echo 1 >/srv/data/a && touch /srv/elsewhere"
    sandbox = fargate_prepared("data", prepare, path="/srv/data")
    assert sandbox.list_files("/srv/data") == ["a", "mine.txt"]
    assert sandbox.list_files("/srv") == ["data"]
    sandbox.write_file(f"/srv/data/{where}", "changed")
"""
    )
    result = _run(pytester, "-p", "no:xdist")
    result.assert_outcomes(passed=1, failed=1)
    result.stdout.fnmatch_lines(
        [
            "the sandbox was changed where it may not be (allowed_changes=['out/*.txt']):",
            "  modified /srv/data/mine.txt",
        ]
    )
