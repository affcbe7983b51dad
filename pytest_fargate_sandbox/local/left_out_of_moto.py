"""What moto imports for tests that mock AWS within their own process: not loaded in an engine, which serves it.

Two fifths of what it takes to import moto go there. Whatever is asked of these modules after all is theirs.
"""

from __future__ import annotations

import importlib
import importlib.util
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.later_modules import Later, imported_later, installed_version
from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

_OF_MOCKS = ("MockAWS", "ProxyModeMockAWS", "ServerModeMockAWS", "patch_client", "patch_resource")
"""https://github.com/getmoto/moto/blob/5.2.5/moto/core/decorator.py#L6, moto/core/__init__.py#L2"""


def moto_without_mocks() -> AbstractContextManager[None]:
    """In it, moto's core and the services that every engine has are to be imported."""
    mocks = {name: _late("moto.core.models", name) for name in _OF_MOCKS}
    return imported_later(
        Later("moto.core.models", DEFAULT_ACCOUNT_ID=ACCOUNT_ID, **mocks),
        Later("moto.iam.aws_managed_policies", aws_managed_policies_data=""),  # managed_policies puts it there
        Later("boto3", Session=_Regions),
        Later("botocore.session", Session=_Regions),
        _package("requests"),
        Later("charset_normalizer"),
        Later("cryptography.x509"),
        Later("cryptography.hazmat.primitives.serialization"),
        Later("importlib.metadata", version=installed_version),
        Later("werkzeug.serving", run_simple=_late("werkzeug.serving", "run_simple")),
        Later("werkzeug.test", Client=_late("werkzeug.test", "Client")),
    )


def _late(module: str, name: str) -> type:
    """Types are written with it, and nobody makes or calls one; who does gets the real one's."""

    def make(_cls: type, *arguments: Any, **options: Any) -> Any:
        return getattr(importlib.import_module(module), name)(*arguments, **options)

    return type(name, (), {"__new__": make})


def _package(name: str) -> Later:
    """Its modules are to be had without it."""
    spec = importlib.util.find_spec(name)
    return Later(name, __path__=list(spec.submodule_search_locations or ()) if spec else [])


class _Regions:
    """Of a session of boto3's or botocore's, each 10 ms, what moto makes them for; they all know the same."""

    _endpoints: Any = None

    def get_available_partitions(self) -> list[str]:
        names: list[str] = self._resolver().get_available_partitions()
        return names

    def get_available_regions(
        self, service_name: str, partition_name: str = "aws", allow_non_regional: bool = False
    ) -> list[str]:
        # EC2's model, the largest of all, is not to be read for the name of its endpoint.
        prefix = service_name if service_name == "ec2" else self._prefix(service_name)
        regions: list[str] = self._resolver().get_available_endpoints(prefix, partition_name, allow_non_regional)
        return regions

    def _prefix(self, service: str) -> str:
        from botocore.exceptions import UnknownServiceError
        from botocore.loaders import Loader

        try:
            model = Loader().load_service_model(service, "service-2")
        except UnknownServiceError:
            return ""
        return str(model["metadata"].get("endpointPrefix", service))

    def _resolver(self) -> Any:
        from botocore.loaders import Loader
        from botocore.regions import EndpointResolver

        if _Regions._endpoints is None:
            _Regions._endpoints = EndpointResolver(Loader().load_data("endpoints"))
        return _Regions._endpoints

    def get_available_services(self) -> list[str]:
        from botocore.loaders import Loader

        return list(Loader().list_available_services("service-2"))

    def __getattr__(self, name: str) -> Any:
        return getattr(importlib.import_module("boto3").Session(), name)
