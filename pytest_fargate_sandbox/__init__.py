"""A container on AWS Fargate as if it were a local object, with or without an AWS account.

Every public name is imported from here, and loads what it needs when it is first asked for (PEP 562), so that a
project which only has the plugin installed does not pay for boto3 or paramiko.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import VERSION

if TYPE_CHECKING:
    from pytest_fargate_sandbox.async_sandbox import (
        AsyncProcess as AsyncProcess,
    )
    from pytest_fargate_sandbox.async_sandbox import (
        AsyncSandbox as AsyncSandbox,
    )
    from pytest_fargate_sandbox.async_sandbox import (
        AsyncWorkspace as AsyncWorkspace,
    )
    from pytest_fargate_sandbox.ecs_fargate import EcsFargateSandbox
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
    from pytest_fargate_sandbox.leaves.errors import (
        Cancelled,
        ConfigError,
        ExecFailed,
        ExecTimeout,
        FileTimeout,
        ImageBuildError,
        NoVerdict,
        RemoteFileError,
        RemoteFileNotFound,
        RemoteIsADirectory,
        RemotePermissionError,
        SandboxBroken,
        SandboxError,
        SandboxLost,
        StartError,
        StartTimeout,
        TaskFolderError,
        TransportError,
        UnknownUser,
        UnsafeArchiveError,
    )
    from pytest_fargate_sandbox.leaves.results import Endpoint, ExecResult, OutsideEndpoint
    from pytest_fargate_sandbox.place.image_builder_anywhere import ImageBuilder
    from pytest_fargate_sandbox.plugin.leases import TeardownWarning
    from pytest_fargate_sandbox.plugin.lifetimes import LifetimeWarning
    from pytest_fargate_sandbox.plugin.settings.unread_variables import UnreadVariableWarning
    from pytest_fargate_sandbox.plugin.tasks_as_tests.task_reach import TaskWarning
    from pytest_fargate_sandbox.plugin.telling.artifacts import ArtifactWarning
    from pytest_fargate_sandbox.providers.ssh.ssh_tunnel import SshTunnel
    from pytest_fargate_sandbox.sandbox.changes import Changes, Remembered
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.exec.process import Process
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolRequest, ToolResult
    from pytest_fargate_sandbox.sandbox.snapshot import Snapshot
    from pytest_fargate_sandbox.sandbox.terminals.terminal import Terminal

_NAMES_BY_HOME = {
    "async_sandbox": ("AsyncProcess", "AsyncSandbox", "AsyncWorkspace"),
    "ecs_fargate": ("EcsFargateSandbox",),
    "leaves.config": ("EcsFargateConfig", "SshSidecarConfig"),
    "leaves.errors": (
        *("Cancelled", "ConfigError", "ExecFailed", "ExecTimeout", "FileTimeout", "ImageBuildError", "NoVerdict"),
        *("RemoteFileError", "RemoteFileNotFound", "RemoteIsADirectory", "RemotePermissionError", "SandboxBroken"),
        *("SandboxError", "SandboxLost", "StartError", "StartTimeout", "TaskFolderError", "TransportError"),
        *("UnknownUser", "UnsafeArchiveError"),
    ),
    "leaves.results": ("Endpoint", "ExecResult", "OutsideEndpoint"),
    "place.image_builder_anywhere": ("ImageBuilder",),
    "plugin.telling.artifacts": ("ArtifactWarning",),
    "plugin.leases": ("TeardownWarning",),
    "plugin.lifetimes": ("LifetimeWarning",),
    "plugin.tasks_as_tests.task_reach": ("TaskWarning",),
    "plugin.settings.unread_variables": ("UnreadVariableWarning",),
    "providers.ssh.ssh_tunnel": ("SshTunnel",),
    "sandbox.changes": ("Changes", "Remembered"),
    "sandbox.exec.exec_client": ("ExecClient",),
    "sandbox.exec.process": ("Process",),
    "sandbox.sandbox_protocol": ("Sandbox",),
    "sandbox.slots.slot": ("Slot",),
    "sandbox.slots.tool_result": ("ToolRequest", "ToolResult"),
    "sandbox.snapshot": ("Snapshot",),
    "sandbox.terminals.terminal": ("Terminal",),
}
_HOMES = {name: home for home, names in _NAMES_BY_HOME.items() for name in names}

__version__ = VERSION

__all__ = [  # without what takes an extra: `import *` works without it
    "ArtifactWarning",
    "Cancelled",
    "Changes",
    "ConfigError",
    "EcsFargateConfig",
    "EcsFargateSandbox",
    "Endpoint",
    "ExecClient",
    "ExecFailed",
    "ExecResult",
    "ExecTimeout",
    "FileTimeout",
    "ImageBuildError",
    "ImageBuilder",
    "LifetimeWarning",
    "NoVerdict",
    "OutsideEndpoint",
    "Process",
    "Remembered",
    "RemoteFileError",
    "RemoteFileNotFound",
    "RemoteIsADirectory",
    "RemotePermissionError",
    "Sandbox",
    "SandboxBroken",
    "SandboxError",
    "SandboxLost",
    "Slot",
    "Snapshot",
    "SshSidecarConfig",
    "SshTunnel",
    "StartError",
    "StartTimeout",
    "TaskFolderError",
    "TaskWarning",
    "TeardownWarning",
    "Terminal",
    "ToolRequest",
    "ToolResult",
    "TransportError",
    "UnknownUser",
    "UnreadVariableWarning",
    "UnsafeArchiveError",
    "__version__",
]


def __getattr__(name: str) -> Any:
    home = _HOMES.get(name)
    if home is None:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{home}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOMES})
