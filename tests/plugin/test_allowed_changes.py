"""A test whose sandbox was changed elsewhere than it may be has failed, and the paths are told."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import Changes
from pytest_fargate_sandbox.plugin.allowed_changes import not_allowed
from tests.plugin.one_process import run

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

SMALL = "--fargate-cpu=256", "--fargate-memory=512"


@pytest.mark.parametrize(
    ("changes", "allowed", "left"),
    [
        (Changes(added=("out", "out/a")), ["out/**"], []),
        (Changes(added=("out", "out/a")), ["out/a"], []),
        (Changes(added=("out", "out/a", "out/b", "over")), ["out/a"], ["added out/b", "added over"]),
        (Changes(added=("empty", "src", "src/a.pyc")), ["**/*.pyc"], ["added empty"]),
        (Changes(removed=("tmp", "tmp/a")), ["tmp/*"], []),
        (Changes(modified=("out", "out/a")), ["out/*"], ["modified out"]),
        (Changes(modified=("a",)), [], ["modified a"]),
        (Changes(unseen=("out: Permission denied", "x: y: lies too deep")), ["out"], ["x: y: lies too deep"]),
        (Changes(added=("a",), more=True), ["**"], ["more than that was changed, and is not looked at"]),
    ],
)  # fmt: skip
def test_directories_may_come_and_go_with_what_may(changes: Changes, allowed: list[str], left: list[str]) -> None:
    told = [f"{how} {path}".removeprefix("cannot be looked into: ") for how, path in not_allowed(changes, allowed)]
    assert told == left


def test_where_a_test_may_not_change_its_sandbox(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    pytester.makeconftest(
        """
import pytest

@pytest.fixture(scope="session", autouse=True)
def saved(fargate_session_factory, request):
    sandbox = fargate_session_factory()
    sandbox.exec("mkdir -p /tmp/tree/src; echo 1 >/tmp/tree/src/a; echo 2 >/tmp/tree/b", check=True)
    sandbox.save("/tmp/tree", to="tree.tar")
    (request.config.rootpath / "broken.tar").write_bytes((request.config.rootpath / "tree.tar").read_bytes()[:-700])
    request.config.rootpath.joinpath("none.tar").write_text("x")
"""
    )
    result = run(
        pytester,
        r"""
import pytest

at = {"/srv/tree": "tree.tar"}

@pytest.mark.fargate(snapshot=at, allowed_changes=["src/*"])
class TestIt:
    def test_nothing(self, fargate_sandbox):
        assert fargate_sandbox.read_file("/srv/tree/b") == b"2\n"

    def test_allowed(self, fargate_sandbox):
        fargate_sandbox.exec("rm /srv/tree/src/a; echo >/srv/tree/src/c; echo >/srv/beside; touch /srv/tree/b")

    def test_elsewhere(self, fargate_sandbox):
        fargate_sandbox.exec("printf 3 >/srv/tree/b; touch -d @0 /srv/tree/b; echo >'/srv/tree/x\ny'")

    def test_failing_anyway(self, fargate_sandbox):
        fargate_sandbox.exec("rm -r /srv/tree")
        raise RuntimeError("first of all")

    @pytest.mark.xfail(strict=True)
    def test_expected(self, fargate_sandbox):
        fargate_sandbox.exec("rm -r /srv/tree")

@pytest.mark.fargate(allowed_changes=["src/*"])
def test_without_a_snapshot(fargate_sandbox): pass

@pytest.mark.fargate(snapshot="nowhere.tar")
def test_missing(fargate_sandbox): pass

@pytest.mark.fargate(snapshot="broken.tar")
def test_broken(fargate_sandbox): pass

@pytest.mark.fargate(snapshot="none.tar")
def test_none(fargate_sandbox): pass

@pytest.mark.fargate(snapshot=at, allowed_changes=["../x"])
def test_glob(fargate_sandbox): pass

@pytest.mark.fargate(snapshot=at, allowed_changes=["/srv/*"])
def test_absolute_glob(fargate_sandbox): pass

@pytest.mark.fargate(snapshot=[1])
def test_kind(fargate_sandbox): pass

@pytest.fixture(scope="module")
def shared(fargate_session_factory):
    return fargate_session_factory(snapshot=at, allowed_changes=[])

def test_shared(shared): pass
""",
        *SMALL,
        "--fargate-prelaunch=0",
    )
    result.assert_outcomes(passed=2, failed=2, xfailed=1, errors=8)
    result.stdout.fnmatch_lines_random(
        [
            "*fargate(allowed_changes=*src/*): expected a snapshot to compare with: name one by snapshot=*",
            "*fargate(snapshot='*nowhere.tar'): expected a file that `save` wrote; there is none at *nowhere.tar",
            "*fargate(snapshot='*broken.tar'): *broken.tar is no whole snapshot: it is cut short, or something else",
            "*fargate(snapshot='*none.tar'): *none.tar is no whole snapshot: it is cut short, or something else",
            "*fargate(allowed_changes=*'../x'*): expected a list of globs relative to the snapshot's directory*",
            "*fargate(allowed_changes=*'/srv/*'*): expected a list of globs relative to the snapshot's directory*",
            "*fargate(snapshot=[[]1]): expected the path of a snapshot, or a mapping of directories of the sandbox to*",
            "*fargate(allowed_changes=[[]]): expected a sandbox of one test's own",
        ]
    )
    result.stdout.fnmatch_lines(
        [
            "the sandbox was changed where it may not be (allowed_changes=[[]'src/*']):",
            "  added /srv/tree/x\\ny",
            "  modified /srv/tree/b",
        ]
    )
    assert result.stdout.str().count("where it may not be") == 1
    assert shared_engine_log.cut_off() == []
