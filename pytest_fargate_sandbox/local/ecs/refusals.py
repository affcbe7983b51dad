"""How the engine says no: AWS's exception codes, with texts like AWS's."""

from __future__ import annotations

from moto.ecs.exceptions import ECSException


class ClientException(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ClientException", message)


class InvalidParameter(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("InvalidParameterException", message)


class Throttled(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ThrottlingException", message)


class Conflict(ECSException):
    def __init__(self, message: str) -> None:
        super().__init__("ConflictException", message)
