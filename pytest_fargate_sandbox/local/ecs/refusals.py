"""How the engine says no: AWS's exception codes, with texts like AWS's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from moto.ecs.exceptions import ECSException

if TYPE_CHECKING:
    from collections.abc import Mapping


class ClientException(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ClientException", message)


class InvalidParameter(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameterException", message)


class Throttled(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ThrottlingException", message)


class TargetNotConnected(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("TargetNotConnectedException", message)


class Conflict(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ConflictException", message)


class ServerException(Exception):
    """Trouble of the service's own: a 500, which moto's exceptions can't be."""


class PlatformUnknown(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("PlatformUnknownException", message)


def invalid_setting(container: Mapping[str, Any], what: str) -> ClientException:
    """The refusal of one container of a task definition."""
    return ClientException(f"Invalid setting for container '{container['name']}'. {what}")
