"""``clientToken``: a lost answer may be asked for again."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from tests.local.engine_process import container

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess


def test_the_same_token_gives_the_same_tasks(engine: EngineProcess) -> None:
    definition, token = engine.register(container()), str(uuid.uuid4())
    first = [task["taskArn"] for task in engine.run_task(definition, clientToken=token, count=2)["tasks"]]
    again = [task["taskArn"] for task in engine.run_task(definition, clientToken=token, count=2)["tasks"]]
    assert first == again
    for arn in first:
        engine.ecs.stop_task(cluster="local", task=arn)


def test_the_same_token_with_other_parameters_is_a_conflict(engine: EngineProcess) -> None:
    definition, token = engine.register(container(script="true")), str(uuid.uuid4())
    engine.run_task(definition, clientToken=token)
    with pytest.raises(ClientError) as refusal:
        engine.run_task(definition, clientToken=token, count=2)
    assert refusal.value.response["Error"]["Code"] == "ConflictException"


def test_another_token_gives_other_tasks(engine: EngineProcess) -> None:
    definition = engine.register(container(script="true"))
    arns = {engine.launch(definition, clientToken=str(uuid.uuid4())) for _ in range(2)}
    assert len(arns) == 2
