"""What AWS's own model says of a request: who does not keep to it is refused, before moto falls over it.

AWS's clients check what they send; whoever writes requests by hand may leave out what is required, or send a list for
a name.
"""

from __future__ import annotations

import functools
import json
import re
from typing import TYPE_CHECKING, Any, NamedTuple, NoReturn
from urllib.parse import parse_qs

from moto.core.utils import get_service_model

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

_MODELLED = frozenset({"ecs", "logs", "ecr", "codebuild", "secretsmanager", "ssm", "sts", "iam", "ec2"})
_TELL_THEMSELVES = frozenset({"RunTask", "DescribeTasks", "StopTask", "ListTasks"})
"""What is missing in these, in the service's very words."""
_WHOLE = re.compile(r"-?[0-9]{1,9}")
_LARGEST = 1e300


class Unfit(Exception):
    """The text is the message; ``code`` is AWS's."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code


def check_json(service: str, operation: str, body: bytes) -> bytes:
    """``body`` without members that are null, which mean nothing to AWS. Raises ``Unfit``."""
    shape = _input_of(service, operation, "UnknownOperationException")
    if shape is None:
        return body
    try:
        request = _checked(shape, json.loads(body or b"{}", parse_constant=_refuse_constant), "")
    except (ValueError, RecursionError):
        raise Unfit("SerializationException", "the body is not JSON") from None
    missing = None if operation in _TELL_THEMSELVES else _first_missing(shape, request, "")
    if missing:
        code = "ClientException" if service == "ecs" else "ValidationException"
        raise Unfit(code, f"{missing} should not be null or empty.")
    return json.dumps(request).encode()


def check_form(service: str, action: str, text: str) -> None:
    """``text`` is the form, of the query and of the body. Raises ``Unfit``."""
    shape = _input_of(service, action, "InvalidAction")
    if shape is None:
        return
    given = parse_qs(text, keep_blank_values=True)
    for name, member in shape.members.items():
        key = _key_of(service, name, member)
        if name in shape.required_members and not any(each == key or each.startswith(key + ".") for each in given):
            code = "MissingParameter" if service == "ec2" else "ValidationError"
            raise Unfit(code, f"The request must contain the parameter {key}")
        if member.type_name in ("integer", "long") and not all(map(_WHOLE.fullmatch, given.get(key, ()))):
            raise Unfit("InvalidParameterValue", f"{key} is a whole number")


@functools.cache
def _known_input(service: str, operation: str) -> Any:
    model: Any = get_service_model(service)
    return model.operation_model(operation).input_shape if operation in model.operation_names else NotImplemented


def _input_of(service: str, operation: str, code_of_unknown: str) -> Any:
    """The shape; None where nothing is known of it."""
    shape = _known_input(service, operation) if service in _MODELLED else None
    if shape is NotImplemented:
        raise Unfit(code_of_unknown, f"The action {operation[:100]} is not valid for this web service.")
    return shape


def _key_of(service: str, name: str, member: Any) -> str:
    """As botocore's serializers have it."""
    if service != "ec2":
        return str(member.serialization.get("name", name))
    known = member.serialization.get("queryName")
    named = str(member.serialization.get("name", name))
    return str(known or named[:1].upper() + named[1:])


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(name)  # NaN and Infinity, which are no JSON


def _first_missing(shape: Any, value: Any, path: str) -> str | None:
    found: Iterable[str | None] = ()
    if shape.type_name == "list":
        found = (_first_missing(shape.member, item, path) for item in value)
    elif shape.type_name == "structure":
        lacking = next((name for name in shape.required_members if name not in value), None)
        if lacking is not None:
            return f"{path}{lacking}"
        found = (
            _first_missing(member, value[name], f"{path}{name}.")
            for name, member in shape.members.items()
            if name in value
        )
    return next(filter(None, found), None)


class _Kind(NamedTuple):
    wanted: str
    fits: Callable[[Any], bool]


def _is_text(value: Any) -> bool:
    try:
        return isinstance(value, str) and value.encode() is not None
    except UnicodeEncodeError:  # half a character
        return False


def _is_number(value: Any) -> bool:
    return type(value) in (int, float) and abs(value) < _LARGEST


_SCALARS = {
    "string": _Kind("a string", _is_text),
    "blob": _Kind("a string", _is_text),
    "boolean": _Kind("a boolean", lambda value: isinstance(value, bool)),
    "integer": _Kind("a whole number", lambda value: type(value) is int and abs(value) < 1 << 31),
    "long": _Kind("a whole number", lambda value: type(value) is int and abs(value) < 1 << 63),
    "float": _Kind("a number", _is_number),
    "double": _Kind("a number", _is_number),
    "timestamp": _Kind("a number", _is_number),
}


def _checked(shape: Any, value: Any, path: str) -> Any:
    if shape.type_name == "structure" and isinstance(value, dict):
        return {
            name: _checked(shape.members[name], inner, f"{path}.{name}") if name in shape.members else inner
            for name, inner in value.items()
            if inner is not None
        }
    if shape.type_name == "list" and isinstance(value, list):
        return [_checked(shape.member, inner, f"{path}[{number}]") for number, inner in enumerate(value)]
    if shape.type_name == "map" and isinstance(value, dict):
        return {name: _checked(shape.value, inner, f"{path}.{name}") for name, inner in value.items()}
    kind = _SCALARS.get(shape.type_name)
    if kind is None or not kind.fits(value):
        wanted = kind.wanted if kind else f"a {shape.type_name}"
        raise Unfit("SerializationException", f"{path.lstrip('.') or 'the body'}: {wanted} is wanted here")
    return value
