"""Real containers, held to the list that every sandbox is held to: with and without a Python in the image."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.conformance import BEHAVIOURS
from tests.real_podman import busybox_image, debian_image, podman
from tests.server_memory import NOTHING, seen_by

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

pytestmark = pytest.mark.long

_IMAGES: dict[str, Callable[[], str]] = {"busybox": busybox_image, "debian": debian_image}

_IN_SHORT = {
    "an_exit_code_is_a_result",
    "a_directory_goes_there_and_back",
}

_MUCH = {
    "a_hundred_megabytes_of_output_arrive_whole",
    "a_transfer_has_the_time_that_it_is_given",
    "commands_and_files_share_the_way",
    "many_commands_at_once_do_not_mix",
    "many_small_files_travel_as_one",
}
"""Moves much on the way to a container, which is the same for the other runner: the long run has it here as well."""


@pytest.fixture(scope="module")
def in_podman(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """The cluster ``local`` of this module is an engine with the podman runner."""
    podman()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARGATE_ENGINE_OPTIONS", "--runner podman")
        patch.setenv("FARGATE_ENGINE_DIR", str(tmp_path_factory.mktemp("engine")))
        patch.setenv("XDG_CACHE_HOME", str(tmp_path_factory.mktemp("cache")))
        yield


@pytest.mark.usefixtures("in_podman")
def test_by_sessions_with_a_python_from_elsewhere(subtests: pytest.Subtests) -> None:
    cfg = EcsFargateConfig(
        cluster="local",
        image_template=busybox_image(),
        cpu="1024",
        memory="2048",
        max_task_lifetime_sec=600,
        ecs_exec=True,
        runtime="sidecar",
    )
    with EcsFargateSandbox(cfg, task_id="sessions", run_id="podman") as sandbox:
        sandbox.start()
        for behaviour in BEHAVIOURS:
            if behaviour.name in _IN_SHORT:
                with subtests.test(str(behaviour)):
                    behaviour(sandbox)
        terminal = sandbox.open_terminal("t")
        assert terminal.run("echo $((6*7))").stdout == "42\n"


@pytest.mark.trials("image", "busybox", "debian")
@pytest.mark.usefixtures("in_podman")
def test_conformance(image: str, subtests: pytest.Subtests, soak: bool) -> None:
    """One test, or each worker that has some of the list would have a container of its own."""
    cfg = EcsFargateConfig(
        cluster="local",
        image_template=_IMAGES[image](),
        cpu="1024",
        memory="2048",
        max_task_lifetime_sec=600,
        ssh_sidecar=SshSidecarConfig(exec_server_port=19542),
    )
    with EcsFargateSandbox(cfg, task_id=f"conformance-{image}", run_id="podman") as sandbox:
        sandbox.start()
        for behaviour in BEHAVIOURS:
            if soak or behaviour.name not in _MUCH:
                with subtests.test(str(behaviour)):
                    behaviour(sandbox)
        with subtests.test("the memory of its server is closed"):
            assert seen_by(sandbox, 1) == NOTHING
