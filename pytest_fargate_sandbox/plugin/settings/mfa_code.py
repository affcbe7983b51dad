"""A profile that wants an MFA code: its owner is asked once, by the controller, before workers share the terminal.

botocore's cache, which is the AWS CLI's, hands what comes of it to the workers; they never ask.
"""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER

if TYPE_CHECKING:
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings


def ask_before_workers(settings: Settings) -> None:
    """Whoever names no profile with a code pays for a look at a file."""
    given = settings.config
    if given["cluster"] == LOCAL_CLUSTER or not _may_want_a_code():
        return
    from pytest_fargate_sandbox.providers.aws.aws import connect

    try:
        _ = connect(region=given.get("region"), endpoint_url=given.get("endpoint_url")).identity_hash
    except SandboxError as error:
        pytest.exit(str(error), returncode=pytest.ExitCode.USAGE_ERROR)


def leave_it_to_the_controller() -> None:
    from pytest_fargate_sandbox.providers.aws import caller

    caller.ask_nobody()


def _may_want_a_code() -> bool:
    if os.environ.get("AWS_ACCESS_KEY_ID"):
        return False
    # https://docs.aws.amazon.com/sdkref/latest/guide/file-location.html
    file = Path(os.environ.get("AWS_CONFIG_FILE") or "~/.aws/config").expanduser()
    try:
        return "mfa_serial" in file.read_text("utf-8", "replace")
    except OSError:
        return False
