"""Errors keep what they know on every way to another process."""

from __future__ import annotations

import json
import pickle
import re

import pytest

import pytest_fargate_sandbox
from pytest_fargate_sandbox.leaves import errors
from pytest_fargate_sandbox.leaves.results import ExecResult


def _raised_by(result: ExecResult) -> errors.SandboxError:
    with pytest.raises((errors.ExecFailed, errors.ExecTimeout)) as caught:
        result.check()
    return caught.value


EACH_ERROR = [
    errors.SandboxError("plain", anything=1),
    errors.ConfigError("cpu=999: expected a size", key="cpu", value=999, allowed="256, 512"),
    errors.ImageBuildError("the build failed", phase="BUILD", log_tail="step 3: no", link="https://log"),
    errors.StartError("no task", phase="launch", cause="capacity", reason="none left", transient=True),
    errors.StartTimeout("no answer in 120 s", phase="server", transient=True),
    errors.TransportError("the tunnel is down", port=2222),
    errors.SandboxLost("the task died", cause="expired", exit_codes={"main": 137}, log_tail="bye"),
    _raised_by(ExecResult("out", "err", 3, command="false")),
    _raised_by(ExecResult("out", "", 124, timed_out=True, duration_sec=2.0, command="sleep 9")),
    errors.RemoteFileNotFound("no /x", path="/x", kind="not_found", errno=2),
    errors.RemotePermissionError("not yours", path="/x", kind="permission", errno=13),
    errors.RemoteIsADirectory("/x is a directory", path="/x", kind="is_directory", errno=21),
    errors.UnknownUser("there is no user 'x' in this container", kind="unknown_user"),
    errors.FileTimeout("not done within its 2.0 s (timeout_sec)", timeout_sec=2.0),
    errors.Cancelled("given up by its caller"),
    errors.TaskFolderError("task.toml:1:2: does not parse", path="task.toml", line=1, column=2),
    errors.NoVerdict("the verifier left no reward"),
    errors.SandboxBroken("the agent broke its sandbox"),
    errors.UnsafeArchiveError("../x leaves the folder", member="../x"),
]


@pytest.mark.parametrize("error", EACH_ERROR, ids=lambda error: type(error).__name__)
def test_an_error_survives_the_way_to_another_process(error: errors.SandboxError) -> None:
    by_json = errors.SandboxError.from_dict(json.loads(json.dumps(error.to_dict())))
    for arrived in (by_json, pickle.loads(pickle.dumps(error))):
        assert type(arrived) is type(error)
        assert str(arrived) == str(error)
        assert arrived.context == error.context


def test_every_error_of_the_tree_is_in_the_table_above() -> None:
    public = {
        kind for kind in vars(errors).values() if isinstance(kind, type) and issubclass(kind, errors.SandboxError)
    }
    public = {kind for kind in public if not kind.__name__.startswith("_")}
    assert public - {type(error) for error in EACH_ERROR} == {errors.RemoteFileError}
    tree = str(errors.__doc__).partition("\n\n    ")[2]
    assert {kind.__name__ for kind in public} == set(re.findall(r"^[├│└─ ]*(\w+)", tree, re.MULTILINE))


def test_context_is_readable_as_attributes() -> None:
    lost = errors.SandboxLost("the task died", cause="out_of_memory", exit_codes={"main": 137})
    assert (lost.cause, lost.exit_codes) == ("out_of_memory", {"main": 137})
    with pytest.raises(AttributeError, match="SandboxLost has no attribute 'colour'"):
        _ = lost.colour


def test_errors_are_the_builtin_ones_too() -> None:
    error = errors.RemoteFileNotFound("no /x", path="/x", errno=2)
    assert isinstance(error, FileNotFoundError)
    assert error.errno == 2
    assert isinstance(errors.SandboxLost("gone"), RuntimeError)
    assert isinstance(errors.TransportError("the tunnel is down"), ConnectionError)
    assert isinstance(errors.StartTimeout("late"), TimeoutError)


def test_every_error_is_imported_from_the_package_and_says_so() -> None:
    for kind in {type(error) for error in EACH_ERROR}:
        assert getattr(pytest_fargate_sandbox, kind.__name__) is kind
        assert kind.__module__ == "pytest_fargate_sandbox"


def test_every_warning_is_called_by_the_name_that_a_filter_has_for_it() -> None:
    public = [getattr(pytest_fargate_sandbox, name) for name in pytest_fargate_sandbox.__all__]
    warnings = {kind.__name__: kind for kind in public if isinstance(kind, type) and issubclass(kind, Warning)}
    assert set(warnings) == {
        f"{what}Warning" for what in ("Artifact", "Lifetime", "Task", "Teardown", "UnreadVariable")
    }
    assert {kind.__module__ for kind in warnings.values()} == {"pytest_fargate_sandbox"}


def test_a_command_that_was_killed_for_memory_says_so() -> None:
    with pytest.raises(errors.ExecFailed, match="returned 137, killed for memory: sort"):
        ExecResult("", "", 137, oom_killed=True, command="sort").check()
    many = ExecResult("", "", 124, timed_out=True, oom_kills=2, memory_limit_bytes=448 << 20, command="make -j8")
    told = r"after 0\.0 s, memory ran out \(of 448 MiB\), and the kernel killed 2 processes of the container: make"
    with pytest.raises(errors.ExecTimeout, match=told):
        many.check()


def test_check_names_the_command_the_code_and_both_tails() -> None:
    with pytest.raises(errors.ExecFailed) as caught:
        ExecResult("partial result", "no such host", 6, command="curl example").check()
    text = str(caught.value)
    assert all(part in text for part in ("curl example", "returned 6", "partial result", "no such host"))


def test_check_raises_a_timeout_for_a_command_that_ran_out_of_time() -> None:
    with pytest.raises(TimeoutError, match=r"ran out of time after 2.5 s: sleep 9"):
        ExecResult("", "", 124, timed_out=True, duration_sec=2.5, command="sleep 9").check()


def test_a_log_that_says_no_more_than_the_message_is_not_told_again() -> None:
    assert str(errors.ImageBuildError("FAILED: no podman", phase="P", log_tail="no podman\n")) == "FAILED: no podman"
    assert str(errors.ImageBuildError("FAILED", phase="P", log_tail="a\n")) == "FAILED\n--- log (end) ---\na"
