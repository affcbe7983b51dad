"""What the caller of an exec client gets wrong, and what cannot be moved: told by its name, and nothing is changed."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.errors import (
    RemoteFileNotFound,
    SandboxError,
    TransportError,
    UnsafeArchiveError,
)

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from tests.exec_server_process import ExecServerProcess


@pytest.fixture
def client(server: ExecServerProcess) -> ExecClient:
    return server.client


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ({"cmd": "echo \0"}, r"command='echo \\x00' has a NUL byte in it"),
        ({"cmd": ["echo", "\ud800"]}, r"command\[1\]='\\ud800' has half a character in it"),
        ({"cmd": 5}, "command=5: expected a string for the shell, or a list of strings"),
        ({"cmd": b"true"}, "command=b'true': expected a string for the shell, or a list of strings"),
        ({"cmd": ["echo", 5]}, r"command\[1\]=5: expected a string"),
        ({"cmd": []}, "the command is empty"),
        ({"env": {"A=B": "x"}}, "env: 'A=B' is no name of a variable"),
        ({"env": {5: "x"}}, "env: 5 is no name of a variable"),
        (
            {"env": {"TOKEN": b"secret"}},
            r"env\['TOKEN'\] is of type bytes: expected a string, a number, true or false, or None",
        ),
        ({"env": {"TOKEN": "secret\ud800"}}, r"env\['TOKEN'\] has half a character in it"),
        ({"env": {"\ud800": "x"}}, r"env: '\\ud800' is no name of a variable"),
        ({"env": ["A=1"]}, "env is of type list: expected a mapping of names to strings"),
        ({"cwd": 5}, "cwd=5: expected a string"),
        ({"user": 1000}, "user=1000: expected a string"),
        ({"timeout": -1}, "timeout=-1: expected a number of seconds, 0 or more"),
        ({"timeout": "5"}, "timeout='5': expected a number of seconds, 0 or more"),
        ({"timeout": float("nan")}, "timeout=nan: expected a number of seconds, 0 or more"),
        ({"timeout": 10**400}, "timeout=10{299}: expected a number of seconds, 0 or more"),
        ({"max_output_bytes": 10**30}, "max_output_bytes=10{30}: expected a whole number, 0 or more"),
        ({"max_output_bytes": -1}, "max_output_bytes=-1: expected a whole number, 0 or more"),
        ({"stdin": 5}, "stdin=5: expected bytes, a string, a path, or an open file"),
        ({"on_output": 5}, "on_output=5: expected a function"),
    ],
)
def test_a_wrong_argument_is_told_by_its_name(client: ExecClient, arguments: dict[str, Any], told: str) -> None:
    with pytest.raises(ValueError, match=f"^{told}"):
        client.exec(**{"cmd": "true", **arguments})


def test_a_wrong_path_is_the_callers_error(client: ExecClient) -> None:
    for act in (lambda: client.read_file("a\0b"), lambda: client.spawn("")):
        with pytest.raises(ValueError, match=r"path=|command"):
            act()


def test_a_name_longer_than_an_answer_is_told_cut(client: ExecClient) -> None:
    """It is no sandbox that misbehaves."""
    for letter in ("x", "\U0001f40d"):
        name = letter * 70_000
        for act in (
            lambda name=name: client.read_file(name),
            lambda name=name: client.exec("true", user=name),
            lambda name=name: client.exec([name]),
        ):
            with pytest.raises(SandboxError, match=rf"{letter}{{800}}.* \.\.\.$") as caught:
                act()
            assert not isinstance(caught.value, TransportError)


def test_what_is_no_content_of_a_file_is_told_before_there_is_a_file(client: ExecClient, tmp_path: Path) -> None:
    for wrong in (5, None, ["text"]):
        with pytest.raises(ValueError, match=r"^data is of type .*: expected bytes or a string"):
            client.write_file(str(tmp_path / "file"), wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "file").exists()


def test_a_directory_that_is_not_there_is_told_as_the_cwd(client: ExecClient) -> None:
    for start in (client.exec, client.spawn):
        with pytest.raises(RemoteFileNotFound, match=r"the command did not run: its cwd: No such file .*: /nope"):
            start("true", cwd=Path("/nope"))  # type: ignore[operator]


def test_no_time_at_all_is_a_time_out(client: ExecClient) -> None:
    assert {client.exec(["true"], timeout=0).return_code for _ in range(20)} == {124}


def test_errors_carry_path_kind_and_errno(client: ExecClient) -> None:
    with pytest.raises(RemoteFileNotFound) as caught:
        client.read_file("/no/such/file")
    assert (caught.value.path, caught.value.kind, caught.value.errno) == ("/no/such/file", "not_found", 2)


def test_a_file_goes_into_a_local_directory_under_its_own_name(client: ExecClient, tmp_path: Path) -> None:
    client.write_file(f"{tmp_path}/source/name.txt", "content")
    (tmp_path / "target").mkdir()
    client.download_to(f"{tmp_path}/source/name.txt", tmp_path / "target")
    assert (tmp_path / "target" / "name.txt").read_text() == "content"


def test_special_files_are_refused_and_stay(client: ExecClient, tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    for act in (
        lambda: client.read_file(f"{tmp_path}/fifo"),
        lambda: client.write_file(f"{tmp_path}/fifo", b"x"),
        lambda: client.write_file("/dev/null", b"x"),
    ):
        with pytest.raises(SandboxError, match="not a regular file"):
            act()
    assert client.read_file("/proc/self/status").startswith(b"Name:")


def test_a_write_follows_a_link_to_its_file(client: ExecClient, tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    client.write_file(f"{tmp_path}/link", "new")
    assert (tmp_path / "real").read_text() == "new"
    assert (tmp_path / "link").is_symlink()


def test_a_tree_that_does_not_fit_changes_nothing(client: ExecClient, tmp_path: Path) -> None:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "clash").mkdir(parents=True)
    (source / "aaa").write_text("new")
    target.mkdir()
    (target / "clash").write_text("a file")
    with pytest.raises(SandboxError, match="clash"):
        client.upload_tree(source, str(target))
    assert sorted(path.name for path in target.iterdir()) == ["clash"]


@pytest.mark.parametrize("behind", [0, 3_000_000])
def test_a_tree_that_cannot_travel_is_told_by_its_member(client: ExecClient, tmp_path: Path, behind: int) -> None:
    source = tmp_path / "source"
    source.mkdir()
    (source / "before").write_bytes(bytes(behind))
    (source / "link").symlink_to("/etc/passwd")
    with pytest.raises(UnsafeArchiveError, match="'link' is a link out of its tree") as caught:
        client.download_to(str(source), tmp_path / "target")
    assert caught.value.member == "link"
    (source / "link").unlink()
    os.mkfifo(source / "pipe")
    with pytest.raises(UnsafeArchiveError, match="'pipe' is neither a file, a directory nor a link"):
        client.download_to(str(source), tmp_path / "target")
    assert [path.name for path in tmp_path.iterdir()] == ["source"]


def test_a_tree_that_may_not_stand_there_is_told_by_the_path_asked_for(client: ExecClient, tmp_path: Path) -> None:
    with pytest.raises(SandboxError, match="/proc/tree") as caught:
        client.upload_tree(tmp_path, "/proc/tree")  # where not even root can make a directory
    assert "staging" not in str(caught.value)
