"""Real containers, held to the list that every sandbox is held to: with and without a Python in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.conformance import BEHAVIOURS, Behaviour
from tests.real_podman import busybox_image, debian_image, podman
from tests.server_memory import NOTHING, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

_IMAGES: dict[str, Callable[[], str]] = {"busybox": busybox_image, "debian": debian_image}


@pytest.fixture(scope="module")
def podman_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cluster ``local`` of this module is an engine with the podman runner."""
    podman()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARGATE_ENGINE_OPTIONS", "--runner podman")
        patch.setenv("FARGATE_ENGINE_DIR", str(tmp_path_factory.mktemp("engine")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.fixture(scope="module", params=_IMAGES)
def sandbox(podman_engine: None, request: pytest.FixtureRequest) -> Iterator[EcsFargateSandbox]:  # noqa: ARG001
    cfg = EcsFargateConfig(
        cluster="local",
        image_template=_IMAGES[request.param](),
        cpu="1024",
        memory="2048",
        max_task_lifetime_sec=600,
        ssh_sidecar=SshSidecarConfig(exec_server_port=19542),
    )
    with EcsFargateSandbox(cfg, task_id=f"conformance-{request.param}", run_id="podman") as sandbox:
        sandbox.start()
        yield sandbox


@pytest.mark.parametrize("behaviour", BEHAVIOURS, ids=str)
def test_conformance(sandbox: EcsFargateSandbox, behaviour: Behaviour) -> None:
    behaviour(sandbox)


def test_the_memory_of_its_server_is_closed(sandbox: EcsFargateSandbox) -> None:
    assert seen_by(sandbox, 1) == NOTHING
