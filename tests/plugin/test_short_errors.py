"""What is shown of an error of ours."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.plugin.telling.short_errors import shortened
from pytest_fargate_sandbox.providers.aws.aws import Credentials, connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from tests.free_ports import free_port


def test_what_a_librarys_errors_were_raised_from_is_not_shown_behind_ours() -> None:
    aws = connect(
        region="us-east-1", endpoint_url=f"http://127.0.0.1:{free_port()}", credentials=Credentials("id", "secret")
    )
    with pytest.raises(AwsError) as raised:
        aws.call("sts", "GetCallerIdentity")
    with shortened(raised.value):
        assert str(raised.getrepr(style="value")) == str(raised.value)
    assert "Connection refused" in str(raised.getrepr(style="value"))
