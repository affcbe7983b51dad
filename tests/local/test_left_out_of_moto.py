"""An engine imports of moto what serves AWS, and not what mocks it; whoever asks for that after all gets it."""

from __future__ import annotations

import json
import subprocess
import sys

_PROGRAM = """
import json, sys
from pytest_fargate_sandbox.local.left_out_of_moto import moto_without_mocks
with moto_without_mocks():
    import pytest_fargate_sandbox.local.embedded_engine
    from moto import mock_aws
print(json.dumps(sorted(sys.modules)))
from moto.core.models import MockAWS, botocore_stubber
from moto.core import patch_client
print(json.dumps([type(mock_aws()) is MockAWS, "boto3" in sys.modules]))
"""
_FOR_MOCKS = {
    "boto3",
    "responses",
    "requests",
    "unittest.mock",
    "asyncio",
    "flask",
    "jinja2",
    "yaml",
    "moto.core.models",
}


def test_an_engine_loads_nothing_that_only_mocks_need_until_somebody_mocks() -> None:
    said = subprocess.run([sys.executable, "-c", _PROGRAM], capture_output=True, text=True, check=True).stdout
    modules, later = map(json.loads, said.splitlines())
    assert not _FOR_MOCKS.intersection(modules)
    assert "moto.ecs.models" in modules
    assert later == [True, True]
