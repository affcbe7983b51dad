"""A role that wants an MFA code: who runs pytest is asked for it once, however many workers there are."""

from __future__ import annotations

import os
import pty
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.providers.aws import caller
from pytest_fargate_sandbox.providers.aws.aws import Aws
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from tests.plugin.one_process import warm
from tests.warm_python import Popen

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

TESTS = """
import pytest
from pytest_fargate_sandbox.providers.aws.aws import connect

@pytest.mark.parametrize("number", range(4))
def test_it(number):
    assert connect(region="us-east-1").caller_arn == "arn:aws:sts::123456789012:assumed-role/graders"
"""
PROFILES = """
[profile base]
aws_access_key_id = {key}
aws_secret_access_key = {secret}
[profile graders]
source_profile = base
role_arn = arn:aws:iam::123456789012:role/graders
mfa_serial = arn:aws:iam::123456789012:mfa/me
"""
PYTEST = """
import fcntl, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)  # getpass asks at the terminal of the session
import pytest
sys.exit(pytest.main(sys.argv[1:]))
"""
QUESTION = "Enter MFA code for arn:aws:iam::123456789012:mfa/me:"


@pytest.fixture
def environment(engine: EngineOfTests, tmp_path: Path) -> dict[str, str]:
    keys = engine.engine.credentials
    (tmp_path / "config").write_text(PROFILES.format(key=keys.access_key_id, secret=keys.secret_access_key))
    (tmp_path / "test_it.py").write_text(TESTS)
    plain = {name: value for name, value in os.environ.items() if not name.startswith(("AWS_", "PYTEST_", "FARGATE_"))}
    return {
        **plain,
        "HOME": str(tmp_path),
        "XDG_CACHE_HOME": str(tmp_path / "cache"),
        "AWS_CONFIG_FILE": str(tmp_path / "config"),
        "AWS_PROFILE": "graders",
        "AWS_ENDPOINT_URL": engine.engine.endpoint_url,
    }


def _run_at_a_terminal(environment: dict[str, str], directory: Path, *words: str) -> tuple[int, str]:
    """Pytest's exit code, and what its terminal showed; who sits there types a code when it is asked for one."""
    terminal, theirs = pty.openpty()
    command = ["-c", PYTEST, "-p", "no:cacheprovider", "test_it.py", *words]
    ends = dict.fromkeys(("stdin", "stdout", "stderr"), theirs)
    process = Popen[bytes](command, cwd=directory, env=environment, start_new_session=True, **ends)
    os.close(theirs)
    shown, answered = "", 0
    while True:
        try:
            piece = os.read(terminal, 65536).decode("utf-8", "replace")
        except OSError:  # Linux says so where the other end is closed
            break
        shown += piece
        if shown.count(QUESTION) > answered:
            answered += 1
            os.write(terminal, b"123456\n")
        if not piece:
            break
    os.close(terminal)
    return process.wait(30), shown


def test_the_controller_asks_once_and_the_workers_know(environment: dict[str, str], tmp_path: Path) -> None:
    code, shown = _run_at_a_terminal(
        environment, tmp_path, "-pno:anyio", *warm("-n2"), "--fargate-cluster=bench", "--fargate-region=us-east-1"
    )
    assert code == 0, shown
    assert "4 passed" in shown
    assert shown.count(QUESTION) == 1


def test_a_worker_asks_nobody_and_says_what_to_do(
    environment: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("HOME", "AWS_CONFIG_FILE", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.setenv(name, environment[name])
    monkeypatch.delenv("AWS_ACCESS_KEY_ID", raising=False)
    monkeypatch.setattr(caller, "_questions", {"allowed": True})
    caller.ask_nobody()
    with pytest.raises(AwsError, match="`aws sts get-caller-identity` asks for it"):
        _ = Aws(region="us-east-1", endpoint_url=None, credentials=None, notes=tmp_path).identity_hash
