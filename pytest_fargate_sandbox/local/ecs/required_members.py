"""What AWS requires of a request, by its own model: a client that checks nothing itself may leave it out."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING, Any

from moto.core.utils import get_service_model

from pytest_fargate_sandbox.local.ecs.refusals import ClientException

if TYPE_CHECKING:
    from botocore.model import Shape


def check_required(operation: str, request: Any) -> None:
    """ClientException for the first member that is missing; moto would fall over it."""
    shape = _input_of(operation)
    missing = None if shape is None else _first_missing(shape, request, "")
    if missing:
        raise ClientException(f"{missing} should not be null or empty.")


@functools.cache
def _input_of(operation: str) -> Shape | None:
    model = get_service_model("ecs")
    return model.operation_model(operation).input_shape if operation in model.operation_names else None


def _first_missing(shape: Any, value: Any, path: str) -> str | None:
    if shape.type_name == "list" and isinstance(value, list):
        found = (_first_missing(shape.member, item, path) for item in value)
    elif shape.type_name == "structure" and isinstance(value, dict):
        lacking = next((name for name in shape.required_members if value.get(name) is None), None)
        if lacking is not None:
            return f"{path}{lacking}"
        found = (
            _first_missing(member, value[name], f"{path}{name}.")
            for name, member in shape.members.items()
            if value.get(name) is not None
        )
    else:
        return None
    return next(filter(None, found), None)
