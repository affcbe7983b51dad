"""botocore's and moto's own data files: each read once, or not at all.

Every botocore session reads them for itself, and moto opens three sessions while it is imported and one more for each
service: EC2's model alone would be parsed four times. Read once they save the engine a third of its start, and 60 MB.
"""

from __future__ import annotations

from typing import Any

from botocore.loaders import JSONFileLoader, Loader

from pytest_fargate_sandbox.providers.aws.quick_loader import QuickLoader

_read_file = JSONFileLoader.load_file
_files: dict[str, Any] = {}


def read_models_once() -> None:
    """For a process that changes no model; call it before moto is imported."""
    JSONFileLoader.load_file = _load_file  # type: ignore[method-assign]
    Loader.list_available_services = QuickLoader.list_available_services  # type: ignore[method-assign, assignment]
    _leave_out_instance_types()


def _load_file(self: JSONFileLoader, file_path: str) -> Any:
    if file_path not in _files:
        _files[file_path] = _read_file(self, file_path)
    return _files[file_path]


def _leave_out_instance_types() -> None:
    """Fargate has no instances, and to read of their types in every region takes as long as to start a task."""
    from moto.utilities import utils

    read = utils.load_resource

    def load_resource(resource: str) -> Any:
        return {} if resource.startswith("ec2/resources/instance_type") else read(resource)

    utils.load_resource = load_resource
