"""What a sandbox for the OpenAI Agents SDK is made of, and what of it is written down to be found again."""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal

from agents.sandbox.session import SandboxSessionState
from agents.sandbox.session.sandbox_client import BaseSandboxClientOptions
from pydantic import BaseModel, ConfigDict, Field, field_validator

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400}
_TTL = re.compile(r"(\d+)\s*([smhd]?)")
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,62}")

Seconds = Annotated[float, Field(ge=1, allow_inf_nan=False)]


class FargateTimeouts(BaseModel):
    """How long each kind of thing may take, in seconds."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    exec_s: Seconds = 300
    """A command that is given no time of its own."""
    cleanup_s: Seconds = 30
    """Taking away what was only needed meanwhile."""
    upload_s: Seconds = 1800
    download_s: Seconds = 1800
    workspace_s: Seconds = 300
    """Packing the workspace, or unpacking it."""
    fast_s: Seconds = 30
    """What is over at once where all is well: making a directory, typing into a terminal."""


def ttl_seconds(ttl: str | int) -> int:
    """``30m``, ``2h``, ``1d`` or seconds."""
    found = _TTL.fullmatch(str(ttl).strip())
    seconds = int(found[1]) * _SECONDS[found[2] or "s"] if found else 0
    if seconds < 1:
        raise ValueError(f"ttl={ttl!r}: expected a number of seconds, or one with s, m, h or d behind it, as in 30m")
    return seconds


class Wishes(BaseModel):
    """What the options say and the state remembers."""

    image: str | None = None
    cpu: int | None = None
    """In CPU units: 1024 are one."""
    memory: int | None = None
    """In MiB."""
    region: str | None = None
    env_vars: dict[str, str] | None = None
    """For each command; those of the manifest count more."""
    labels: dict[str, str] | None = None
    """Tags of the task."""
    ttl: str | int | None = None
    """After this the task ends by itself, whatever became of us: ``30m``, or seconds."""
    pause_on_exit: bool = False
    """Have the task live on, with all that is in it, until its time is over: ``resume`` finds it as it was left."""
    timeouts: FargateTimeouts = Field(default_factory=FargateTimeouts)

    @field_validator("ttl")
    @classmethod
    def _is_a_time(cls, ttl: str | int | None) -> str | int | None:
        if ttl is not None:
            ttl_seconds(ttl)
        return ttl

    @field_validator("timeouts", mode="before", check_fields=False)
    @classmethod
    def _defaults(cls, timeouts: Any) -> Any:
        return {} if timeouts is None else timeouts


class FargateSandboxClientOptions(Wishes, BaseSandboxClientOptions):
    """What is not said here, ``FARGATE_*`` and files say, as docs/options.md has it."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    type: Literal["fargate"] = "fargate"
    ports: tuple[Annotated[int, Field(ge=1, le=65535)], ...] = ()
    """Of the sandbox, that ``resolve_exposed_port`` leads to from this machine's loopback."""
    name: str | None = None
    """A sandbox of this name that is there already is taken, as it is; else one is made."""
    exposed_port_public: Literal[False] = False
    """A task is never made reachable from elsewhere."""

    @field_validator("name")
    @classmethod
    def _is_a_name(cls, name: str | None) -> str | None:
        if name is not None and not _NAME.fullmatch(name):
            raise ValueError(f"name={name!r}: expected 1 to 63 letters, digits, dots, hyphens and underscores")
        return name


class FargateSandboxSessionState(Wishes, SandboxSessionState):
    """All that ``resume`` needs: JSON, without the keys to the task, which stay in a file that this user alone reads.

    It does hold ``env_vars``.
    """

    type: Literal["fargate"] = "fargate"
    sandbox_name: str
    task_arn: str | None = None
    """The task that had it last."""
