"""How a sandbox is configured: two frozen dataclasses, checked when they are made, before any call.

``from_dict`` takes what JSON, TOML or YAML give: a lone string where a list is meant, numbers as strings and strings
as numbers. Everything that is wrong is a ``ConfigError`` that names the key, the value and what is allowed.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing
from collections.abc import Mapping, Sequence  # noqa: TC003 - the types of the fields are read as they run
from dataclasses import dataclass, field
from typing import Any, Literal, TypeVar

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.fargate_rules import SECRET_ARN, SECURITY_GROUPS, STORAGE_GIB, SUBNETS, size_problem
from pytest_fargate_sandbox.leaves.image_reference import IMAGE_REFERENCE, is_image_reference
from pytest_fargate_sandbox.leaves.names import DEFAULT_TTL_SEC, LOCAL_CLUSTER, LONGEST_TTL_SEC
from pytest_fargate_sandbox.leaves.plain_values import (
    check_choice,
    check_variable,
    coerced,
    mapping_of,
    nearest,
    nearest_or_all,
    takes_none,
    wrong,
)

_Config = TypeVar("_Config")

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
    """A Secrets Manager entry, together with the next. Both empty: a fresh ed25519 pair for each session."""
    private_key_secret_arn: str = ""
    """What the client reads; the public one ECS hands to the sidecar."""
    image: str | None = None
    """The sidecar's image. None: the engine's own; on AWS ours in ``ecr_repository``, if it was built, else Alpine."""
    exec_server_port: int | None = None
    """Set: exec-server mode. None: agent-server mode."""

    def __post_init__(self) -> None:
        _coerce_fields(self, "ssh_sidecar.")
        _check_port("ssh_sidecar.sshd_port", self.sshd_port)
        _check_port("ssh_sidecar.exec_server_port", self.exec_server_port)
        if self.exec_server_port == self.sshd_port:
            raise wrong("ssh_sidecar.exec_server_port", self.exec_server_port, "another port than sshd_port")
        _check_positive("ssh_sidecar.ssh_ready_timeout_sec", self.ssh_ready_timeout_sec)
        if bool(self.public_key_secret_arn) != bool(self.private_key_secret_arn):
            missing = "private_key_secret_arn" if self.public_key_secret_arn else "public_key_secret_arn"
            raise wrong(f"ssh_sidecar.{missing}", "", "both secrets, or neither for a fresh key pair each session")
        if self.public_key_secret_arn and not re.fullmatch(SECRET_ARN, self.public_key_secret_arn):
            raise wrong("ssh_sidecar.public_key_secret_arn", self.public_key_secret_arn, "the ARN of a secret")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> SshSidecarConfig:
        return _from_plain(cls, data, "ssh_sidecar.")


@dataclass(frozen=True)
class EcsFargateConfig:
    """Where and how a sandbox's task runs. Each field says what it does; docs/library.md has the same as a table."""

    region: str | None = None
    """The AWS region. None: as boto3 finds it."""
    cluster: str = ""
    """The ECS cluster. ``local``: the embedded engine."""
    subnets: Sequence[str] = field(default_factory=list)
    """The subnets that tasks run in."""
    security_groups: Sequence[str] = field(default_factory=list)
    """One of them has to let this machine in at the sidecar's port."""
    assign_public_ip: bool = False
    """Whether a task has a public address. ``from_dict`` takes it for granted where there is a sidecar."""
    task_definition: str | None = None
    """A task definition to clone: its container ``container_name`` gets our image, command and environment. Where there
    is none of that name, a warning says so, if an image and ``execution_role_arn`` are enough to do without."""
    task_definition_family_prefix: str = "ecs-sandbox"
    """What the families of our task definitions begin with; a digest of their content follows."""
    image_template: str | None = None
    """The image; ``{task_id}`` and ``{task_id_sanitized}`` are filled in."""
    container_name: str = "main"
    """The main container, also in a ``task_definition`` that is cloned."""
    container_port: int | None = None
    """Agent-server mode: the port that ``local_port`` forwards to."""
    cpu: str = "4096"
    """CPU units, 1024 to a vCPU; with ``memory`` a pair that Fargate has."""
    memory: str = "8192"
    """MiB."""
    ephemeral_storage_gib: int | None = None
    """21 to 200. None: Fargate's 20."""
    platform_version: str | None = None
    """Of Fargate. None: the latest."""
    execution_role_arn: str | None = None
    """The role with which ECS pulls images and writes logs; needed but for a clone."""
    task_role_arn: str | None = None
    """What code in the sandbox may do on AWS. None: nothing."""
    extra_env: Mapping[str, str] | None = field(default=None, repr=False)  # may hold secrets, and reports show reprs
    """Environment of the main container; values may hold ``{task_id}``, ``{task_ip}`` and ``{ssh_tunnel_port}``.
    A number, true and false are written as JSON writes them."""
    log_group: str | None = None
    """The CloudWatch group of the containers' output, made if it is missing. None: nowhere, but on the engine."""
    log_stream_prefix: str | None = None
    """What its streams begin with. None: ``task_definition_family_prefix``."""
    max_task_lifetime_sec: int = DEFAULT_TTL_SEC
    """After this the task ends by itself, whatever became of us."""
    startup_timeout_sec: float = 300.0
    """How long ECS may refuse a launch, how long a task may take to run, and how long what is in it may take to answer.
    """
    poll_interval_sec: float = 2.0
    """How often ECS is asked about tasks that start, all together."""
    run_task_max_retries: int = 30
    """How often a launch is tried again that was refused for what passes, as want of capacity."""
    ssh_sidecar: SshSidecarConfig | None = None
    """The way in; with its ``exec_server_port`` exec-server mode, without one agent-server mode."""
    s3_bucket: str | None = None
    """Files above 512 KiB go through this bucket, once for their content."""
    s3_prefix: str | None = None
    """What keys in the bucket begin with. None: ``fargate-sandbox``."""
    ecr_repository: str | None = None
    """The url of the repository for what is built and mirrored."""
    environment_dir: str | None = None
    """A directory with a Dockerfile, built once for its content into ``ecr_repository``."""
    codebuild_project: str | None = None
    """The CodeBuild project that builds. None: one is made, by the next."""
    codebuild_service_role: str | None = None
    """The role that a project is made with."""
    codebuild_compute_type: str = "BUILD_GENERAL1_MEDIUM"
    """How large a machine builds."""
    codebuild_build_timeout: int = 30
    """Minutes, 5 at least."""
    dockerhub_secret_arn: str | None = None
    """A secret that has ``{"username": …, "password": …}``, for builds that pull from Docker Hub."""
    build_parallelism: int = 50
    """How many builds at once, over all processes of a run."""

    endpoint_url: str | None = None
    """Where AWS answers; None: AWS itself, or what ``AWS_ENDPOINT_URL`` says."""
    capacity_provider: Literal["FARGATE", "FARGATE_SPOT"] | None = None
    """None: FARGATE."""
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
    """The processor of tasks, and of the images that are built."""
    ssm_config: str | None = None
    """The name of an SSM parameter that holds this same mapping as JSON. What is set here to anything but its default
    wins; of ``ssh_sidecar`` key by key."""
    mirror_images: bool = False
    """Copy public images into ``ecr_repository`` once, and run them from there."""

    def __post_init__(self) -> None:
        if isinstance(self.image_template, (int, float)):  # a registry has an image of that name, of somebody's
            raise wrong("image_template", self.image_template, IMAGE_REFERENCE)
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
                raise wrong(key, [], "what lets nothing out, for network='none' on AWS")

    @classmethod
    def from_dict(cls, data: Mapping[str, Any]) -> EcsFargateConfig:
        """Make a config of plain values; a sidecar asks for a public address unless the values say otherwise."""
        plain = dict(mapping_of("EcsFargateConfig", data))
        private = plain.get("connect_via") in ("private", "ssm")
        if plain.get("ssh_sidecar") is not None and not private and plain.get("assign_public_ip") is None:
            plain["assign_public_ip"] = True
        if plain.get("build_parallelism") is not None:
            plain["build_parallelism"] = max(1, coerced("build_parallelism", plain["build_parallelism"], int))
        return _from_plain(cls, plain, "")

    def _check_size(self) -> None:
        cpu, memory = coerced("cpu", self.cpu, int), coerced("memory", self.memory, int)
        problem = size_problem(cpu, memory)
        if problem:
            key = "cpu" if problem.startswith("cpu") else "memory"
            raise ConfigError(
                f"{key}={getattr(self, key)!r}: {problem}", key=key, value=getattr(self, key), allowed=problem
            )
        if self.ephemeral_storage_gib is not None and self.ephemeral_storage_gib not in STORAGE_GIB:
            raise wrong(
                "ephemeral_storage_gib", self.ephemeral_storage_gib, "21 to 200 GiB, or nothing for Fargate's 20"
            )

    def _check_numbers(self) -> None:
        for key in ("max_task_lifetime_sec", "startup_timeout_sec", "poll_interval_sec", "codebuild_build_timeout"):
            _check_positive(key, getattr(self, key))
        if self.max_task_lifetime_sec > LONGEST_TTL_SEC:
            raise wrong("max_task_lifetime_sec", self.max_task_lifetime_sec, f"at most {LONGEST_TTL_SEC} seconds")
        if self.run_task_max_retries < 0:
            raise wrong("run_task_max_retries", self.run_task_max_retries, "0 or more")
        if self.build_parallelism < 1:
            raise wrong("build_parallelism", self.build_parallelism, "1 or more")
        _check_port("container_port", self.container_port)

    def _check_lists(self) -> None:
        for key, most in _MOST.items():
            if len(getattr(self, key)) > most:
                raise wrong(key, getattr(self, key), f"at most {most}")
        for pair in (self.tags or {}).items():
            if any(text.lower().startswith("aws:") for text in pair):
                raise wrong("tags", "=".join(pair), "names and values that do not start with aws:, which is AWS's own")
        for volume in self.volumes:
            _check_volume(volume)
        paths = [os.path.normpath(str(volume["path"])) for volume in self.volumes]
        if len(set(paths)) != len(paths):
            raise wrong("volumes", paths, "another path for each EFS volume")

    def _check_words(self) -> None:
        for key in ("capacity_provider", "connect_via", "network", "runtime", "cpu_architecture"):
            check_choice(key, getattr(self, key), _HINTS[EcsFargateConfig][key])
        if self.endpoint_url and not _ENDPOINT_URL.fullmatch(self.endpoint_url):
            raise wrong("endpoint_url", self.endpoint_url, "http://HOST:PORT or https://HOST:PORT, or nothing for AWS")
        if self.image_template and not is_image_reference(self.image_template):
            raise wrong("image_template", self.image_template, IMAGE_REFERENCE)
        if self.user and not self.user.isprintable():
            raise wrong("user", self.user, "a user's name or number, of signs that can be printed")
        if not _FAMILY_PREFIX.fullmatch(self.task_definition_family_prefix):
            raise wrong(
                "task_definition_family_prefix",
                self.task_definition_family_prefix,
                "1 to 180 letters, digits, hyphens and underscores",
            )
        for name, value in (self.extra_env or {}).items():
            check_variable("extra_env", name)
            if "\0" in value:
                raise wrong(f"extra_env.{name}", "…", "a value without NUL")


_HINTS: dict[type, dict[str, Any]] = {
    config: typing.get_type_hints(config) for config in (SshSidecarConfig, EcsFargateConfig)
}


def _from_plain(cls: type[_Config], data: Mapping[str, Any], prefix: str) -> _Config:
    hints = _HINTS[cls]
    values = {}
    for key, value in mapping_of(prefix.rstrip("."), data).items():
        if key not in hints:
            raise ConfigError(
                f"unknown key {prefix}{key}={value!r}{nearest_or_all(str(key), list(hints))}",
                key=f"{prefix}{key}",
                value=value,
                allowed=", ".join(hints),
            )
        if value is not None or takes_none(hints[key]):
            values[key] = value
    return cls(**values)


def _coerce_fields(config: SshSidecarConfig | EcsFargateConfig, prefix: str) -> None:
    """Every field as its type wants it. A program writes ``cpu=1024`` as easily as a file has ``"60"`` for a number."""
    for name, hint in _HINTS[type(config)].items():
        object.__setattr__(config, name, coerced(f"{prefix}{name}", getattr(config, name), hint))


def _check_port(key: str, value: int | None) -> None:
    if value is not None and not 1 <= value <= 65535:
        raise wrong(key, value, "a port, 1 to 65535")


def _check_volume(volume: Mapping[str, Any]) -> None:
    for key in volume:
        if key not in _VOLUME_KEYS:
            near = nearest(str(key), _VOLUME_KEYS)
            raise wrong("volumes", key, f"one of {', '.join(_VOLUME_KEYS)} in an EFS volume{near}")
    missing = [key for key in _VOLUME_KEYS[:2] if not volume.get(key)]
    if missing:
        raise wrong("volumes", dict(volume), f"a {missing[0]} in each EFS volume")


def _check_positive(key: str, value: float) -> None:
    if not value > 0:
        raise wrong(key, value, "a number above 0")


def replaced(config: _Config, **values: Any) -> _Config:
    """A copy of ``config`` with some fields changed, checked again."""
    return dataclasses.replace(config, **values)  # type: ignore[type-var]
