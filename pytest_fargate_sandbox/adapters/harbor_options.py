"""What ``harbor run`` takes as ``--ek NAME=VALUE``: options of the plugin, out of their own table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from harbor.environments.options import EnvironmentOptions
from pydantic import ConfigDict, Field, create_model

from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS

if TYPE_CHECKING:
    from pytest_fargate_sandbox.plugin.settings.option_table import Option

OFFERED = (
    "cluster",
    "region",
    "subnets",
    "security_groups",
    "network",
    "execution_role",
    "config",
    "sidecar_mode",
    "cpu",
    "memory",
    "ttl",
    "runner",
    "engine",
    "max_tasks",
)
"""The others are about tests, or Harbor has a word of its own for it."""


def _type_of(option: Option) -> Any:
    if option.choices:
        return Literal[(*option.choices, *option.synonyms)]
    return {"string": str, "int": int, "args": str | list[str], "bool": bool}[option.kind]


def _field(option: Option) -> tuple[Any, Any]:
    return _type_of(option) | None, Field(default=None, description=option.help, ge=_least(option))


def _least(option: Option) -> int | None:
    return option.least if option.kind == "int" else None


class _Common(EnvironmentOptions):
    model_config = ConfigDict(extra="forbid", hide_input_in_errors=True, coerce_numbers_to_str=True)


fields: dict[str, Any] = {name: _field(OPTIONS[name]) for name in OFFERED}
FargateOptions = create_model(
    "FargateOptions",
    __base__=_Common,
    __doc__="Options of a run on Fargate. What is not said here, FARGATE_* variables and the project's file may say.",
    **fields,
)
