"""What the engine writes itself has the shapes of botocore's own models: another SDK is less forgiving than boto3."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import botocore.session

from tests.local.engine_process import container

if TYPE_CHECKING:
    from botocore.model import Shape

    from tests.local.engine_process import EngineProcess

_TYPES = {
    "string": str,
    "integer": int,
    "long": int,
    "boolean": bool,
    "timestamp": float,
    "double": float,
    "list": list,
    "structure": dict,
    "map": dict,
}


def _misfits(value: Any, shape: Shape, where: str) -> list[str]:
    """Where ``value`` is not what the model says."""
    if not isinstance(value, _TYPES[shape.type_name]):
        return [f"{where} is {value!r}, not a {shape.type_name}"]
    if shape.type_name == "list":
        return [item for n, entry in enumerate(value) for item in _misfits(entry, shape.member, f"{where}[{n}]")]
    if shape.type_name != "structure":
        return []
    unknown = [f"{where}.{key} is not in the model" for key in value if key not in shape.members]
    known = {key: entry for key, entry in value.items() if key in shape.members}
    return unknown + [
        item for key, entry in known.items() for item in _misfits(entry, shape.members[key], f"{where}.{key}")
    ]


def test_tasks_fit_the_model_through_their_whole_life(engine: EngineProcess) -> None:
    model = botocore.session.get_session().get_service_model("ecs")
    definition = engine.register(
        container(memory=64, healthCheck={"command": ["CMD", "true"]}), container("other", essential=False)
    )
    answers = []

    def call(operation: str, **request: Any) -> dict[str, Any]:
        status, answer = engine.raw_ecs_call(operation, {"cluster": "local", **request})
        assert status == 200, answer
        answers.append((operation, answer))
        return answer

    overrides = {"containerOverrides": [{"name": "main", "environment": [{"name": "A", "value": "b"}]}]}
    launch = {"taskDefinition": definition, "networkConfiguration": engine.network(), "overrides": overrides}
    strategy = [{"capacityProvider": "FARGATE_SPOT"}]
    tags = [{"key": "k", "value": "v"}]
    arn = call("RunTask", **launch, capacityProviderStrategy=strategy, tags=tags, startedBy="x")["tasks"][0]["taskArn"]
    engine.wait(arn, "RUNNING")
    call("DescribeTasks", tasks=[arn, "0" * 32], include=["TAGS"])
    call("ListTasks")
    call("StopTask", task=arn)
    engine.wait(arn, "STOPPED")
    call("DescribeTasks", tasks=[arn])
    engine.set_faults(capacity=1)
    call("RunTask", **launch, launchType="FARGATE")

    for operation, answer in answers:
        assert _misfits(answer, model.operation_model(operation).output_shape, operation) == []
