"""What is saved of tests below ``--fargate-artifacts``, where it is told, and what nobody can do by it."""

from __future__ import annotations

import itertools
import json
from typing import TYPE_CHECKING
from xml.etree import ElementTree

import pytest

from pytest_fargate_sandbox.plugin.telling.saved_files import SavedFiles, directory_name, safe_names
from tests.plugin.one_process import run

if TYPE_CHECKING:
    from pathlib import Path

MODULE = "test_files_are_saved_under_the_tests_name_and_told_everywhere.py"


@pytest.mark.usefixtures("shared_engine_log")
def test_files_are_saved_under_the_tests_name_and_told_everywhere(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest

MANY = "; ".join([
    "mkdir -p logs/a", "echo 1 >logs/1.log", "echo 2 >logs/a/2.log", "mkfifo logs/pipe", "ln -s /nowhere logs/link",
    "truncate -s 1T logs/sparse", 'echo x >"logs/$(printf "new\\\\nline")"', 'echo y >"logs/$(printf "new\\\\tline")"',
])

@pytest.mark.fargate(artifacts=["logs/**", "/tmp/report.xml", "none*"])
def test_passes(fargate_sandbox):
    fargate_sandbox.exec(f"{MANY}; echo '<x/>' >/tmp/report.xml", check=True)

@pytest.mark.fargate(artifacts=["a.txt"], artifacts_when="failed")
@pytest.mark.parametrize("what", ["a/b", "a b"])
def test_fails(fargate_session_sandbox, what):
    fargate_session_sandbox.write_file("a.txt", what)
    assert what == "a b"

@pytest.mark.fargate(artifacts_when="always")
def test_of_several(fargate_sandbox_factory):
    for number in (1, 2):
        sandbox = fargate_sandbox_factory(artifacts=["n"])
        sandbox.write_file("n", str(number))
    sandbox.open_terminal("shell")

@pytest.mark.fargate(artifacts=["n"])
def test_stopped(fargate_sandbox):
    fargate_sandbox.stop()

@pytest.fixture
def fragile(fargate_sandbox):
    yield fargate_sandbox
    fargate_sandbox.stop()
    raise OSError("too late")

@pytest.mark.fargate(artifacts=["n"])
def test_late(fragile):
    fragile.write_file("n", "late")

@pytest.mark.fargate(artifacts="n")
def test_wrong(fargate_sandbox): pass
""",
        "--fargate-artifacts=left",
        "--junit-xml=junit.xml",
        "--fargate-report-json=report.json",
        "-Werror",
    )
    result.assert_outcomes(passed=5, failed=1, errors=2, warnings=2)
    left = pytester.path / "left"
    assert [path.parent.name for path in left.rglob("*-shell.cast")] == [f"{MODULE}_test_of_several"]
    saved = {str(path.relative_to(left)): path for path in left.rglob("*") if path.is_file() and path.suffix != ".cast"}
    of_passes = f"{MODULE}_test_passes/files"
    fails = directory_name(f"{MODULE}::test_fails[a/b]")
    assert sorted(saved) == sorted(
        [
            *(f"{of_passes}/logs/{name}" for name in ("1.log", "a/2.log", "new_nline", "new_tline", "sparse")),
            f"{of_passes}/tmp/report.xml",
            f"{fails}/files/a.txt",
            f"{MODULE}_test_late/files/n",
            f"{MODULE}_test_of_several/files/n",
            f"{MODULE}_test_of_several/files-2/n",
        ]
    )
    assert saved[f"{of_passes}/logs/sparse"].stat().st_size == 5_000_000
    assert [saved[f"{MODULE}_test_of_several/{n}/n"].read_text() for n in ("files", "files-2")] == ["1", "2"]
    troubles = [
        "no file fits none*",
        "logs/sparse: the first 5000000 of 1099511627776 bytes",
        "not saved: logs/link: No such file or directory",
        "not saved: logs/pipe: not a regular file",
    ]
    shown = result.stdout.str()
    assert f"left/{fails}/files/a.txt" in shown
    assert f"ArtifactWarning: {'; '.join(troubles)}" in shown
    assert "ArtifactWarning: n: not saved: the sandbox is not running" in shown
    assert "fargate(artifacts='n'): expected a list of globs, without .." in shown

    report = json.loads((pytester.path / "report.json").read_text())
    tests = {each["test"].partition("::")[2]: each for each in report["tests"]}
    assert tests["test_passes"]["artifacts_trouble"] == troubles
    assert str(saved[f"{of_passes}/tmp/report.xml"]) in tests["test_passes"]["artifacts"]
    assert tests["test_fails[a b]"]["artifacts"] == []
    cases = {
        each.get("name"): [(one.get("name"), one.get("value")) for one in each.iter("property")]
        for each in ElementTree.parse(pytester.path / "junit.xml").iter("testcase")
    }
    assert ("fargate_artifact", str(saved[f"{of_passes}/logs/1.log"])) in cases["test_passes"]
    assert ("fargate_artifact_trouble", troubles[0]) in cases["test_passes"]
    assert ("fargate_artifacts", str(left / fails)) in cases["test_fails[a/b]"]


@pytest.mark.usefixtures("shared_engine_log")
def test_a_full_disk_here_is_a_warning_and_leaves_no_half_of_a_file(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest, resource

@pytest.mark.fargate(artifacts=["small", "large"])
def test_it(fargate_slot):
    fargate_slot.exec("echo x >small; head -c 1000000 /dev/urandom >large", check=True)
    for name, size in (("large", 600_000), ("short", 10)):
        fargate_slot.open_terminal(name).run(f"head -c {size} /dev/zero | tr '\\\\0' x")
    resource.setrlimit(resource.RLIMIT_FSIZE, (400_000, -1))
""",
        "--fargate-artifacts=left",
        "-Werror",
    )
    result.assert_outcomes(passed=1, warnings=1)
    assert "ArtifactWarning: artifacts could not be saved: [Errno 27] File too large" in result.stdout.str()
    left = [each.name for each in pytester.path.glob("left/**/*") if each.is_file()]
    assert len(left) == 2
    assert "small" in left
    assert any(name.endswith("-short.cast") for name in left)


DEEP = "/".join("d" * 3000)
ODD = ["../../x", "/x", "a/../../x", "..", "/", "a\0b", "a\nb", "\x1b[2Jx", "x" * 300, DEEP, "\udcff", ".", "a\\b"]


@pytest.mark.parametrize("name", ODD, ids=lambda name: ascii(name)[:20])
def test_no_name_from_a_sandbox_leads_out_of_its_directory(tmp_path: Path, name: str) -> None:
    directory = tmp_path / "deep" / "files"
    files = SavedFiles(directory)
    files.begin()
    for content in (b"one", b"two"):
        files.file(name)(content)
    files.close()
    assert [path.read_bytes() for path in files.paths] == [b"one", b"two"]
    assert {path for path in tmp_path.rglob("*") if path.is_file()} == set(files.paths)
    assert all(directory in path.resolve().parents for path in files.paths)
    assert all(part.isprintable() for part in safe_names(name))


FEW = ("".join(signs) for signs in itertools.product("\\_", repeat=9))


@pytest.mark.parametrize(
    "names", [["a\\b", "_again-1-b", "a_b/b", "a_b/b/", "a\\b/b", "z"], ["a/" * 300 + "z"], list(FEW), ["same"] * 600]
)
def test_names_that_are_one_here_keep_no_file_from_being_saved(tmp_path: Path, names: list[str]) -> None:
    files = SavedFiles(tmp_path / "files")
    files.begin()
    for number, name in enumerate(names):
        files.file(name)(b"%d" % number)
    files.close()
    assert [int(path.read_bytes()) for path in files.paths] == list(range(len(names)))
    assert all(len(path.relative_to(tmp_path).parts) < 80 for path in files.paths)


def test_a_test_of_any_name_has_a_directory_of_its_own(tmp_path: Path) -> None:
    names = [directory_name(f"test_it.py::test_{sign * 150}") for sign in "a试é"]
    for name in names:
        (tmp_path / name).mkdir()
    assert len(set(names)) == 3


def test_what_an_earlier_run_saved_is_not_taken_for_this_ones(tmp_path: Path) -> None:
    for name in ("old", "new"):
        files = SavedFiles(tmp_path / "files")
        files.begin()
        files.file(name)(b"x")
        files.close()
    assert [path.name for path in (tmp_path / "files").iterdir()] == ["new"]
