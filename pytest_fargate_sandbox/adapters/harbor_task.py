"""From what Harbor says of a trial's environment to what its sandbox is made of."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any

from harbor.environments.definition import should_use_prebuilt_docker_image
from harbor.models.task.config import NetworkMode

from pytest_fargate_sandbox.adapters.harness_settings import config_of
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
from pytest_fargate_sandbox.tasks import fargate_fit
from pytest_fargate_sandbox.tasks.task_folder import Surroundings

if TYPE_CHECKING:
    from pytest_fargate_sandbox.plugin.settings.run_settings import Settings

_NETWORKS = {NetworkMode.NO_NETWORK: "none", NetworkMode.PUBLIC: "public"}


def spec_of(
    environment: Any, settings: Settings, *, force_build: bool, as_root: bool = False
) -> tuple[SandboxSpec, str]:
    """The spec, and what was rounded up for Fargate, in words. Raises ``ConfigError`` and ``TaskFolderError``."""
    size = fargate_fit.fit(
        Surroundings(
            cpus=environment._effective_cpus,
            memory_mb=environment._effective_memory_mb,
            storage_mb=environment._effective_storage_mb,
        )
    )
    said: dict[str, Any] = {"network": _network(environment, settings)}
    if size.cpu is not None:
        said |= {"cpu": str(size.cpu), "memory": str(size.memory)}
    if size.storage is not None:
        said["ephemeral_storage_gib"] = size.storage
    image = environment.task_env_config.docker_image
    if should_use_prebuilt_docker_image(environment.environment_dir, docker_image=image, force_build=force_build):
        said |= {"image_template": image, "environment_dir": None}
    else:
        said |= {"image_template": None, "environment_dir": str(environment.environment_dir)}
    if as_root:
        said["user"] = "root"
    base = config_of(settings)
    values = {each.name: getattr(base, each.name) for each in dataclasses.fields(base)}
    config = EcsFargateConfig.from_dict({**values, **said})
    return SandboxSpec(config, exec_timeout=config.max_task_lifetime_sec, force_build=force_build), size.told


def _network(environment: Any, settings: Settings) -> str:
    """A task that says nothing has the internet, in Harbor; the option is for who has none to give, or wants none."""
    of_task = environment.network_policy.network_mode
    said = settings.config.get("network")
    return str(said) if said and of_task == NetworkMode.PUBLIC else _NETWORKS[of_task]
