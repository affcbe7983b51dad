"""Sessions whose agent may not have heard that they are over: the control plane is asked to end them, aside and once.

Else each is a process in the task until the service finds it idle. The AWS CLI asks for the same where nobody takes
what it has started, and the official client where the agent knows no word for an end.
https://github.com/aws/aws-cli/blob/04f64fc067e1da57a598e3e44b6505b05f0b0455/awscli/customizations/sessionmanager.py
"""

from __future__ import annotations

import logging
import threading
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm.session_calls import is_denied, terminate_session

if TYPE_CHECKING:
    from pytest_fargate_sandbox.providers.aws.aws import Aws

_places = threading.BoundedSemaphore(16)
_was_denied = threading.Event()

_log = logging.getLogger(__name__)


def end_aside(aws: Aws, session_id: str) -> None:
    """Return at once. A process that ends waits for it, for as long as one call may take."""
    if not _places.acquire(blocking=False):
        _log.info("session %s is left to its idle time-out: many are being ended", session_id)
        return
    try:
        threading.Thread(target=_end, args=(aws, session_id), name=f"end of session {session_id}").start()
    except RuntimeError as error:
        _places.release()
        _log.info("session %s is left to its idle time-out: %s", session_id, error)


def _end(aws: Aws, session_id: str) -> None:
    try:
        terminate_session(aws, session_id)
    except AwsError as error:
        if not is_denied(error):
            _log.info("session %s is left to its idle time-out: %s", session_id, error.message)
        elif not _was_denied.is_set():
            _was_denied.set()
            _log.warning(
                "these credentials may not end sessions (ssm:TerminateSession): one whose agent cannot be told so is a "
                "process in its task until the service finds it idle (docs/aws.md)"
            )
    finally:
        _places.release()
