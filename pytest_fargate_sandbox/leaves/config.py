"""How a sandbox is configured: two frozen dataclasses, checked when they are made, before any call.

``from_dict`` takes what JSON, TOML or YAML give: a lone string where a list is meant, numbers as strings and strings
as numbers. Everything that is wrong is a ``ConfigError`` that names the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import difflib
import os
import re
import types
import typing
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.fargate_rules import SECRET_ARN, SECURITY_GROUPS, STORAGE_GIB, SUBNETS, size_problem
from pytest_fargate_sandbox.leaves.names import DEFAULT_TTL_SEC, LOCAL_CLUSTER

_Config = TypeVar("_Config")

_ENVIRONMENT_NAME = re.compile(r"(?=.*\S)[^=\0]+", re.DOTALL)
_ENDPOINT_URL = re.compile(r"https?://[^/\s]+(/\S*)?")
_VOLUME_KEYS = ("file_system_id", "path", "root_directory", "access_point_id", "read_only")
"""Of an EFS volume; the first two must be there."""

_MOST = {
    "subnets": SUBNETS,
    "security_groups": SECURITY_GROUPS,
    "no_network_subnets": SUBNETS,
    "no_network_security_groups": SECURITY_GROUPS,
}

_FAMILY_PREFIX = re.compile(r"[A-Za-z0-9_-]{1,180}")


@dataclass(frozen=True)
class SshSidecarConfig:
    """The container beside the main one through which we reach it."""

    sshd_port: int = 2222
    """Where the sidecar's sshd listens."""
    ssh_ready_timeout_sec: float = 120.0
    """How long to wait for it, and for the server behind it."""
    public_key_secret_arn: str = ""
    private_key_secret_arn: str = ""
    """Secrets Manager entries. Both empty: a fresh ed25519 pair for each session."""
    image: str | None = None
    """The sidecar's image. None: the reserved reference, which the engine brings and AWS pulls."""
    exec_server_port: int | None = None
    """Set: exec-server mode. None: agent-server mode."""

    def __post_init__(self) -> None:
        _coerce_fields(self, "ssh_sidecar.")
        _check_port("ssh_sidecar.sshd_port", self.sshd_port)
        _check_port("ssh_sidecar.exec_server_port", self.exec_server_port)
        if self.exec_server_port == self.sshd_port:
            raise _wrong("ssh_sidecar.exec_server_port", self.exec_server_port, "another port than sshd_port")
        _check_positive("ssh_sidecar.ssh_ready_timeout_sec", self.ssh_ready_timeout_sec)
        if bool(self.public_key_secret_arn) != bool(self.private_key_secret_arn):
            missing = "private_key_secret_arn" if self.public_key_secret_arn else "public_key_secret_arn"
            raise _wrong(f"ssh_sidecar.{missing}", "", "both secrets, or neither for a fresh key pair each session")
        if self.public_key_secret_arn and not re.fullmatch(SECRET_ARN, self.public_key_secret_arn):
            raise _wrong("ssh_sidecar.public_key_secret_arn", self.public_key_secret_arn, "the ARN of a secret")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SshSidecarConfig:
        return _from_plain(cls, data, "ssh_sidecar.")


@dataclass(frozen=True)
class EcsFargateConfig:
    """Where and how a sandbox's task runs. Each field says what it does; the README has the same as a table."""

    region: str | None = None
    """The AWS region. None: as boto3 finds it."""
    cluster: str = ""
    """The ECS cluster. ``local``: the embedded engine."""
    subnets: Sequence[str] = field(default_factory=list)
    security_groups: Sequence[str] = field(default_factory=list)
    assign_public_ip: bool = False
    task_definition: str | None = None
    """A task definition to clone: its container ``container_name`` gets our image, command and environment. Where there
    is none of that name, a warning says so, if an image and ``execution_role_arn`` are enough to do without."""
    task_definition_family_prefix: str = "ecs-sandbox"
    image_template: str | None = None
    """The image; ``{task_id}`` and ``{task_id_sanitized}`` are filled in."""
    container_name: str = "main"
    container_port: int | None = None
    """Agent-server mode: the port that ``local_port`` forwards to."""
    cpu: str = "4096"
    memory: str = "8192"
    ephemeral_storage_gib: int | None = None
    platform_version: str | None = None
    execution_role_arn: str | None = None
    task_role_arn: str | None = None
    extra_env: Mapping[str, str] | None = field(default=None, repr=False)  # may hold secrets, and reports show reprs
    """Environment of the main container; values may hold ``{task_id}``, ``{task_ip}`` and ``{ssh_tunnel_port}``."""
    log_group: str | None = None
    log_stream_prefix: str | None = None
    max_task_lifetime_sec: int = DEFAULT_TTL_SEC
    """After this the task ends by itself, whatever became of us."""
    startup_timeout_sec: float = 300.0
    """How long ECS may refuse a launch, how long a task may take to run, and how long what is in it may take to answer.
    """
    poll_interval_sec: float = 2.0
    run_task_max_retries: int = 30
    ssh_sidecar: SshSidecarConfig | None = None
    s3_bucket: str | None = None
    """Files above 512 KiB go through this bucket, once for their content."""
    s3_prefix: str | None = None
    ecr_repository: str | None = None
    environment_dir: str | None = None
    """A directory with a Dockerfile, built once for its content into ``ecr_repository``."""
    codebuild_project: str | None = None
    codebuild_service_role: str | None = None
    codebuild_compute_type: str = "BUILD_GENERAL1_MEDIUM"
    codebuild_build_timeout: int = 30
    dockerhub_secret_arn: str | None = None
    build_parallelism: int = 50

    endpoint_url: str | None = None
    """Where AWS answers; None: AWS itself, or what ``AWS_ENDPOINT_URL`` says."""
    capacity_provider: Literal["FARGATE", "FARGATE_SPOT"] | None = None
    tags: Mapping[str, str] | None = None
    """Tags of your own on every task."""
    volumes: Sequence[Mapping[str, Any]] = field(default_factory=list)
    """EFS volumes: ``{"file_system_id", "path", "root_directory", "access_point_id", "read_only"}``."""
    connect_via: Literal["auto", "public", "private", "ssm"] = "auto"
    """Which address of the task to connect to; ``auto``: the public one if it has one. ``ssm``: none; the sidecar is
    reached through the Session Manager, and nothing has to let us in."""
    ecs_exec: bool = False
    """ECS Exec mode, without a sidecar (``ssh_sidecar=None``): the Session Manager leads to the exec server itself."""
    definition_as_is: bool = False
    """ECS Exec mode registers nothing: ``task_definition`` runs as it is, and the server comes through a session."""
    network: Literal["none", "public"] | None = None
    """What a task reaches: nothing, or the internet. None: on the local engine nothing, on AWS what its subnets do."""
    no_network_subnets: Sequence[str] = field(default_factory=list)
    """On AWS, subnets from which nothing is reached but us: in place of ``subnets`` with ``network="none"``."""
    no_network_security_groups: Sequence[str] = field(default_factory=list)
    """And in place of ``security_groups``, groups that let nothing out."""
    user: str | None = None
    """The main container's user; None: the image's own."""
    runtime: Literal["auto", "image", "sidecar"] = "auto"
    """Whose Python runs the exec server: the image's, the sidecar's, or the image's if it has one."""
    runtime_image: str | None = None
    """In ECS Exec mode, the image whose Python ``runtime="sidecar"`` brings; None: the sidecar's own."""
    owner: str | None = None
    """Who sweeps what; None: the AWS identity."""
    cpu_architecture: Literal["X86_64", "ARM64"] = "X86_64"
    ssm_config: str | None = None
    """The name of an SSM parameter that holds this same mapping as JSON; explicit values win."""
    mirror_images: bool = False
    """Copy public images into ``ecr_repository`` once, and run them from there."""

    def __post_init__(self) -> None:
        _coerce_fields(self, "")
        self._check_size()
        self._check_numbers()
        self._check_words()
        self._check_lists()
        self._check_network()
        if bool(self.environment_dir) and not self.ecr_repository and self.cluster and self.cluster != LOCAL_CLUSTER:
            told = "ecr_repository is not set: name the ECR repository that images built from environment_dir go to"
            raise ConfigError(told, key="ecr_repository", value=None, allowed="an ECR repository")

    def _check_network(self) -> None:
        """Whose subnets lead where only their owner knows: "none" is never a hope."""
        is_elsewhere = self.cluster not in ("", LOCAL_CLUSTER) and not self.ssm_config
        for key in ("no_network_subnets", "no_network_security_groups"):
            if self.network == "none" and is_elsewhere and not getattr(self, key):
                raise _wrong(key, [], "what lets nothing out, for network='none' on AWS")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EcsFargateConfig:
        """Make a config of plain values; a sidecar asks for a public address unless the values say otherwise."""
        plain = dict(_mapping("EcsFargateConfig", data))
        private = plain.get("connect_via") in ("private", "ssm")
        if plain.get("ssh_sidecar") is not None and not private and plain.get("assign_public_ip") is None:
            plain["assign_public_ip"] = True
        if plain.get("build_parallelism") is not None:
            plain["build_parallelism"] = max(1, _coerce("build_parallelism", plain["build_parallelism"], int))
        return _from_plain(cls, plain, "")

    def _check_size(self) -> None:
        cpu, memory = _coerce("cpu", self.cpu, int), _coerce("memory", self.memory, int)
        problem = size_problem(cpu, memory)
        if problem:
            key = "cpu" if problem.startswith("cpu") else "memory"
            raise ConfigError(
                f"{key}={getattr(self, key)!r}: {problem}", key=key, value=getattr(self, key), allowed=problem
            )
        if self.ephemeral_storage_gib is not None and self.ephemeral_storage_gib not in STORAGE_GIB:
            raise _wrong(
                "ephemeral_storage_gib", self.ephemeral_storage_gib, "21 to 200 GiB, or nothing for Fargate's 20"
            )

    def _check_numbers(self) -> None:
        for key in ("max_task_lifetime_sec", "startup_timeout_sec", "poll_interval_sec", "codebuild_build_timeout"):
            _check_positive(key, getattr(self, key))
        if self.run_task_max_retries < 0:
            raise _wrong("run_task_max_retries", self.run_task_max_retries, "0 or more")
        if self.build_parallelism < 1:
            raise _wrong("build_parallelism", self.build_parallelism, "1 or more")
        _check_port("container_port", self.container_port)

    def _check_lists(self) -> None:
        for key, most in _MOST.items():
            if len(getattr(self, key)) > most:
                raise _wrong(key, getattr(self, key), f"at most {most}")
        for pair in (self.tags or {}).items():
            if any(text.lower().startswith("aws:") for text in pair):
                raise _wrong("tags", "=".join(pair), "names and values that do not start with aws:, which is AWS's own")
        for volume in self.volumes:
            _check_volume(volume)
        paths = [os.path.normpath(str(volume["path"])) for volume in self.volumes]
        if len(set(paths)) != len(paths):
            raise _wrong("volumes", paths, "another path for each EFS volume")

    def _check_words(self) -> None:
        for key in ("capacity_provider", "connect_via", "network", "runtime", "cpu_architecture"):
            _check_choice(key, getattr(self, key), _HINTS[EcsFargateConfig][key])
        if self.endpoint_url and not _ENDPOINT_URL.fullmatch(self.endpoint_url):
            raise _wrong("endpoint_url", self.endpoint_url, "http://HOST:PORT or https://HOST:PORT, or nothing for AWS")
        if not _FAMILY_PREFIX.fullmatch(self.task_definition_family_prefix):
            raise _wrong(
                "task_definition_family_prefix",
                self.task_definition_family_prefix,
                "1 to 180 letters, digits, hyphens and underscores",
            )
        for name, value in (self.extra_env or {}).items():
            if not _ENVIRONMENT_NAME.fullmatch(name):
                raise _wrong("extra_env", name, "names that are not blank, without '=' and NUL")
            if "\0" in value:
                raise _wrong(f"extra_env.{name}", "…", "a value without NUL")


_HINTS: dict[type, dict[str, Any]] = {
    config: typing.get_type_hints(config) for config in (SshSidecarConfig, EcsFargateConfig)
}


def nearest(word: str, words: Sequence[str]) -> str:
    """``; did you mean 'x'?`` for the closest of ``words``, or nothing."""
    close = difflib.get_close_matches(word, words, n=1)
    return f"; did you mean {close[0]!r}?" if close else ""


def _from_plain(cls: type[_Config], data: Mapping[str, Any], prefix: str) -> _Config:
    hints = _HINTS[cls]
    values = {}
    for key, value in _mapping(prefix.rstrip("."), data).items():
        if key not in hints:
            allowed = ", ".join(hints)
            raise ConfigError(
                f"unknown key {prefix}{key}={value!r}{nearest(str(key), list(hints))} (allowed: {allowed})",
                key=f"{prefix}{key}",
                value=value,
                allowed=allowed,
            )
        if value is not None or _takes_none(hints[key]):
            values[key] = value
    return cls(**values)


def _coerce_fields(config: SshSidecarConfig | EcsFargateConfig, prefix: str) -> None:
    """Every field as its type wants it. A program writes ``cpu=1024`` as easily as a file has ``"60"`` for a number."""
    for name, hint in _HINTS[type(config)].items():
        object.__setattr__(config, name, _coerce(f"{prefix}{name}", getattr(config, name), hint))


def _mapping(key: str, value: Any) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a mapping")
    return value


def _takes_none(hint: Any) -> bool:
    return type(None) in typing.get_args(hint)


def _coerce(key: str, value: Any, hint: Any) -> Any:
    """``value`` as ``hint`` wants it; a config file has strings where numbers are meant, and the other way round."""
    choices = [each for each in (typing.get_args(hint) if _is_union(hint) else [hint]) if each is not type(None)]
    if value is None and _takes_none(hint):
        return None
    kind = choices[0]
    origin = typing.get_origin(kind)
    if kind is SshSidecarConfig:
        return value if isinstance(value, SshSidecarConfig) else SshSidecarConfig.from_dict(value)
    if origin is Literal:
        _check_choice(key, value, hint)
        return value
    if origin is Sequence:
        return _as_list(key, value, typing.get_args(kind)[0])
    if origin is Mapping:
        return _as_mapping(key, value)
    return _as_scalar(key, value, kind)


def _is_union(hint: Any) -> bool:
    return typing.get_origin(hint) in (typing.Union, types.UnionType)


def _as_list(key: str, value: Any, kind: Any) -> list[Any]:
    if isinstance(value, (str, Mapping)):
        value = [value] if value else []
    if not isinstance(value, Sequence):
        raise _wrong(key, value, "a list")
    return [_as_scalar(key, each, str) if kind is str else dict(_mapping(key, each)) for each in value]


def _as_mapping(key: str, value: Any) -> dict[str, str]:
    if not isinstance(value, Mapping):
        raise _wrong(key, value, "a mapping of names to values")
    return {str(name): _as_scalar(f"{key}.{name}", each, str) for name, each in value.items()}


def _as_scalar(key: str, value: Any, kind: type) -> Any:
    if kind is bool:
        return _as_bool(key, value)
    if isinstance(value, bool) and kind is str:
        return "true" if value else "false"
    if isinstance(value, os.PathLike) and kind is str:
        return os.fspath(value)
    if not isinstance(value, (str, int, float)) or isinstance(value, bool):
        raise _wrong(key, value, _WORDS[kind])
    try:
        converted = kind(value)
    except (ValueError, OverflowError):  # infinity is no whole number
        raise _wrong(key, value, _WORDS[kind]) from None
    if kind is int and isinstance(value, float) and value != converted:
        raise _wrong(key, value, _WORDS[kind])
    return converted


_WORDS = {int: "a whole number", float: "a number", str: "a string"}
_TRUTH = {"true": True, "yes": True, "on": True, "1": True, "false": False, "no": False, "off": False, "0": False}


def _as_bool(key: str, value: Any) -> bool:
    if isinstance(value, bool):
        return value
    truth = truth_of(str(value))
    if truth is None:
        raise _wrong(key, value, "true or false")
    return truth


def truth_of(word: str) -> bool | None:
    """What ``yes``, ``off`` and the like mean; None where a word means neither."""
    return _TRUTH.get(word.lower())


def _check_choice(key: str, value: Any, hint: Any) -> None:
    literal = next((each for each in typing.get_args(hint) if typing.get_origin(each) is Literal), hint)
    allowed = typing.get_args(literal)
    if value in allowed or (value is None and _takes_none(hint)):
        return
    raise _wrong(key, value, " or ".join(map(repr, allowed)) + nearest(str(value), allowed))


def _check_port(key: str, value: int | None) -> None:
    if value is not None and not 1 <= value <= 65535:
        raise _wrong(key, value, "a port, 1 to 65535")


def _check_volume(volume: Mapping[str, Any]) -> None:
    for key in volume:
        if key not in _VOLUME_KEYS:
            near = nearest(str(key), _VOLUME_KEYS)
            raise _wrong("volumes", key, f"one of {', '.join(_VOLUME_KEYS)} in an EFS volume{near}")
    missing = [key for key in _VOLUME_KEYS[:2] if not volume.get(key)]
    if missing:
        raise _wrong("volumes", dict(volume), f"a {missing[0]} in each EFS volume")


def _check_positive(key: str, value: float) -> None:
    if not value > 0:
        raise _wrong(key, value, "a number above 0")


def _wrong(key: str, value: Any, allowed: str) -> ConfigError:
    return ConfigError(f"{key}={value!r}: expected {allowed}", key=key, value=value, allowed=allowed)


def replaced(config: _Config, **values: Any) -> _Config:
    """A copy of ``config`` with some fields changed, checked again."""
    return dataclasses.replace(config, **values)  # type: ignore[type-var]
