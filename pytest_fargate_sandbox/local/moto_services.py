"""The part of AWS that moto answers: one application for each service, made when it is first called.

Loading a service takes 10 to 300 ms (measured), and most runs call five of them.
"""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, Any

from moto.backends import get_backend
from moto.core.common_models import BaseModel

from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID, REGION
from pytest_fargate_sandbox.local.managed_policies import read_policies_late
from pytest_fargate_sandbox.local.service_app import ServiceApp

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from pytest_fargate_sandbox.local.http_server import WsgiApp

_BACKENDS = {
    "ecs": "ecs",
    "ec2": "ec2",
    "s3": "s3",
    "logs": "logs",
    "secretsmanager": "secretsmanager",
    "ssm": "ssm",
    "sts": "sts",
    "ecr": "ecr",
    "iam": "iam",
    "codebuild": "codebuild",
}
"""Signing names to moto's backends, for what our clients call; anything else takes moto's own way to find out."""


_FORM = "application/x-www-form-urlencoded"


class MotoServices:
    """All of moto's services behind one WSGI application."""

    def __init__(self, before: Mapping[str, Callable[[], None]]) -> None:
        """``before``: what is to be done when a service is about to be loaded, by its name."""
        self._before = before
        self._dispatcher: WsgiApp | None = None
        self._apps: dict[str, WsgiApp] = {}
        self._lock = threading.Lock()

    def app(self, service: str) -> WsgiApp:
        """The application of the service that requests of the signing name ``service`` are for."""
        name = _BACKENDS.get(service)
        if name is None:
            return self._load_dispatcher()
        app = self._apps.get(name)
        if app is None:
            with self._lock:
                app = self._apps.get(name) or self._load(name)
        return app

    def _load(self, name: Any) -> WsgiApp:
        if name in self._before:
            self._before[name]()
        app: WsgiApp = _create_app(name)
        self._apps[name] = app
        return app

    def _load_dispatcher(self) -> WsgiApp:
        with self._lock:
            if self._dispatcher is None:
                from moto.moto_server.werkzeug_app import DomainDispatcherApplication

                self._dispatcher = DomainDispatcherApplication(_create_app)
            return self._dispatcher

    def __call__(self, service: str, environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        if service in ("s3", ""):
            _keep_body(environ)
        return self.app(service)(environ, start_response)


def _create_app(name: Any) -> Any:
    read_policies_late()  # whose call it is, each service asks moto's IAM
    return ServiceApp(name)


def _keep_body(environ: dict[str, Any]) -> None:
    """Python's urllib calls every body a form, and moto would parse the object that is PUT as one and store nothing."""
    if environ["REQUEST_METHOD"] == "PUT" and environ.get("CONTENT_TYPE", "").startswith(_FORM):
        environ["CONTENT_TYPE"] = "binary/octet-stream"


def _keep_no_list_of_models() -> None:
    """moto lists each thing that it ever made, for its resets and its own web page: here nothing would ever go.

    https://github.com/getmoto/moto/blob/5.2.5/moto/core/common_models.py#L7
    """
    make: Any = staticmethod(lambda cls, *_, **__: object.__new__(cls))
    BaseModel.__new__ = make  # type: ignore[method-assign]


_keep_no_list_of_models()


def replace_backend(service: str, make: Callable[[str, str], Any]) -> None:
    """Let ``make(region, account_id)`` build the backend of ``service``, where moto's own only writes things down."""
    backends: Any = get_backend(service)  # type: ignore[call-overload]
    backends.backend = lambda region, account_id: make(region, account_id)
    backends.clear()


def backend(service: str, region: str = REGION) -> Any:
    """moto's state of ``service``, for the engine's own use."""
    return get_backend(service)[ACCOUNT_ID][region]  # type: ignore[call-overload]
