"""A failed test's sandbox stays until its time is over, so that one can look around in it.

It passes as it stands. ``ANSWER=5 pytest examples/keep_a_failed_one`` fails, and ends with the commands that enter
the sandbox and end it: ``fargate-sandbox shell …`` and ``fargate-sandbox stop …``, from any terminal.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from pytest_fargate_sandbox import EcsFargateSandbox


@pytest.mark.fargate(keep="failed", ttl=600)
def test_the_answer(fargate_sandbox: EcsFargateSandbox) -> None:
    fargate_sandbox.exec("echo $((2 + 2)) | tee /tmp/answer")
    assert fargate_sandbox.exec("cat /tmp/answer").stdout.strip() == os.environ.get("ANSWER", "4")
