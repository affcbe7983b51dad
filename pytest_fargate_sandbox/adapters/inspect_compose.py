"""What a compose file for Inspect says, as far as a task on Fargate has it; the rest is refused by its name."""

from __future__ import annotations

import math
import os
import re
import shlex
from typing import TYPE_CHECKING, Any, Final

import yaml  # type: ignore[import-untyped]
from inspect_ai.util import ComposeConfig
from pydantic import ValidationError

from pytest_fargate_sandbox.adapters.inspect_config import FargateSandboxConfig, said_by
from pytest_fargate_sandbox.leaves.errors import ConfigError, TaskFolderError
from pytest_fargate_sandbox.tasks.fargate_fit import fit
from pytest_fargate_sandbox.tasks.task_folder import Surroundings

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from inspect_ai.util import ComposeService

FILES: Final = ["compose.yaml", "compose.yml", "docker-compose.yaml", "docker-compose.yml"]

_MEANT = {
    "image", "build", "environment", "working_dir", "user", "cpus", "mem_limit", "mem_reservation", "deploy",
    "network_mode", "command", "entrypoint", "platform",
}  # fmt: skip
_OF_NO_CONSEQUENCE = {
    "expose", "init", "pull_policy", "restart", "stdin_open", "stop_grace_period", "tty", "x_default",
}  # fmt: skip
"""True of each task anyway, or of no meaning where a container lives as long as its sample."""

_NETWORKS = {"none": "none", "bridge": "public"}
_IDLE = re.compile(r"tail -f /dev/null|sleep (infinity|inf|\d+[smhd]?)|cat|(/bin/)?(ba)?sh")
"""Commands that only keep a container alive, as the exec server does."""

_SIZE = re.compile(r"([\d.]+)\s*([kmgt]?)i?b?", re.IGNORECASE)
_VARIABLE = re.compile(
    r"\$(?:(?P<escaped>\$)|(?P<plain>\w+)|\{(?P<name>\w+)(?:(?P<how>:?[-?])(?P<rest>[^}]{0,4096}))?\})"
)
METADATA = "SAMPLE_METADATA_"


def read(file: Path, variables: Mapping[str, str]) -> ComposeConfig:
    """The file with its variables filled in. Raises ``ConfigError``."""
    try:
        raw = _filled(yaml.safe_load(file.read_text(encoding="utf-8")), {**os.environ, **variables}, file)
        return ComposeConfig.model_validate(raw)
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigError(f"{file}: cannot be read: {error}") from None
    except ValidationError as error:
        raise ConfigError(f"{file}: {said_by(error)}") from None


def variables_of(file: Path, metadata: Mapping[str, Any]) -> dict[str, str]:
    """Of a sample's metadata, what the file names: ``SAMPLE_METADATA_`` and the key in capitals."""
    text = file.read_text(encoding="utf-8", errors="replace") if file.is_file() else ""
    named = {f"{METADATA}{key.replace(' ', '_').upper()}": str(value) for key, value in metadata.items()}
    return {name: value for name, value in named.items() if name in text}


def _filled(value: Any, variables: Mapping[str, str], file: Path) -> Any:
    """As docker compose does: https://docs.docker.com/reference/compose-file/interpolation/"""

    def fill(match: re.Match[str]) -> str:
        if match["escaped"]:
            return "$"
        name, how, rest = match["plain"] or match["name"], match["how"] or "", match["rest"] or ""
        found = variables.get(name)
        if found is None or (how.startswith(":") and not found):
            if how.endswith("?"):
                raise ConfigError(f"{file}: {name}: {rest or 'is not set'}")
            return rest
        return found

    if isinstance(value, str):
        return _VARIABLE.sub(fill, value)
    if isinstance(value, dict):
        return {key: _filled(each, variables, file) for key, each in value.items()}
    return [_filled(each, variables, file) for each in value] if isinstance(value, list) else value


def translated(compose: ComposeConfig, here: Path) -> FargateSandboxConfig:
    """``here``: what its directories start from. Raises ``ConfigError`` with all that it has and Fargate has not."""
    if len(compose.services) > 1:
        names = ", ".join(compose.services)
        raise ConfigError(
            f"a compose file with {len(compose.services)} services ({names}): on Fargate each would be a machine of "
            "its own, which does not know the others by name; name sandboxes that do without in a FargateSandboxConfig "
            "(`sandboxes`), or use Inspect's docker"
        )
    if not compose.services:
        raise ConfigError("a compose file without a service")
    [(name, service)] = compose.services.items()
    refused = [*_refused(service), *(key for key in ("volumes", "networks") if getattr(compose, key))]
    if refused:
        raise ConfigError(
            f"service {name}: Fargate has no {', no '.join(refused)}: remove that, or use Inspect's docker"
        )
    return FargateSandboxConfig(**_said(name, service, here))


def _refused(service: ComposeService) -> list[str]:
    said = {key for key in service.model_fields_set if getattr(service, key) not in (None, [], {}, False)}
    refused = sorted(key for key in said - _MEANT - _OF_NO_CONSEQUENCE if not key.startswith("x-"))
    for key in ("command", "entrypoint"):
        words = getattr(service, key)
        line = words if isinstance(words, str) else shlex.join(words or [])
        if line and not _IDLE.fullmatch(line):
            refused.append(f"{key} ({line}) beside the exec server")
    if service.network_mode not in (None, *_NETWORKS):
        refused.append(f"network_mode {service.network_mode}")
    if service.platform not in (None, "linux/amd64"):
        refused.append(f"platform {service.platform} here: FARGATE_CONFIG names a file with cpu_architecture")
    resources = service.deploy.resources if service.deploy else None
    if resources and resources.reservations and resources.reservations.devices:
        refused.append("devices (GPUs)")
    return refused


def _said(name: str, service: ComposeService, here: Path) -> dict[str, Any]:
    context = _context(name, service)
    said: dict[str, Any] = {"environment": str(here / context)} if context else {"image": service.image}
    said["env"] = _environment(service)
    said["user"], said["working_dir"] = service.user, service.working_dir
    said["network"] = _NETWORKS.get(service.network_mode or "")
    said["cpu"], said["memory"] = _size(name, service)
    return {key: value for key, value in said.items() if value is not None}


def _context(name: str, service: ComposeService) -> str | None:
    build = service.build
    if build is None or isinstance(build, str):
        return build
    check_dockerfile(f"service {name}", build.dockerfile)
    return build.context or "."


def check_dockerfile(where: str, name: str | None) -> None:
    """Raises ``ConfigError`` where it is none that is built."""
    if name not in (None, "Dockerfile", "./Dockerfile"):
        raise ConfigError(
            f"{where}: an image is built from a file named Dockerfile, not {name}: give it a directory of its own"
        )


def _environment(service: ComposeService) -> dict[str, str] | None:
    said = service.environment
    if not said:
        return None
    pairs = said if isinstance(said, dict) else dict(_pair(each) for each in said)
    return {key: os.environ.get(key, "") if value is None else str(value) for key, value in pairs.items()}


def _pair(text: str) -> tuple[str, str | None]:
    key, equals, value = text.partition("=")
    return key, value if equals else None


def _size(name: str, service: ComposeService) -> tuple[int | None, int | None]:
    """The next that Fargate has, of all that is asked for."""
    resources = service.deploy.resources if service.deploy else None
    asked = [each for each in (resources and resources.limits, resources and resources.reservations) if each]
    cpus = [float(each) for each in (service.cpus, *(each.cpus for each in asked)) if each]
    memory = [
        _mib(each) for each in (service.mem_limit, service.mem_reservation, *(each.memory for each in asked)) if each
    ]
    try:
        found = fit(Surroundings(cpus=max(cpus, default=None), memory_mb=max(memory, default=None)))
    except TaskFolderError as error:
        raise ConfigError(f"service {name}: {error}") from None
    return found.cpu, found.memory


def _mib(text: str) -> int:
    match = _SIZE.fullmatch(str(text).strip())
    if match is None:
        raise ConfigError(f"{text!r}: expected an amount of memory, as 512m or 2g")
    unit = " kmgt".index(match[2].lower() or " ")
    return math.ceil(float(match[1]) * 1024.0**unit / 1024**2)
