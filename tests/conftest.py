"""One engine for all tests of a worker that launch something, and a cache directory of their own."""

from __future__ import annotations

import os
import signal
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from tests.components import need
from tests.engine_of_tests import EngineOfTests
from tests.exec_server_process import ExecServerProcess
from tests.fault_proxy import FaultProxy
from tests.local.engine_process import EngineProcess
from tests.real_podman import podman
from tests.sandbox.scripted_ecs import ScriptedEcs
from tests.warm_engine import lend

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator


os.environ.setdefault("XDG_DATA_HOME", str(Path.home() / ".local/share"))
"""Without root podman's store is there, whatever home a test has."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    for mark in item.iter_markers("needs"):
        need(*mark.args)


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    for mark in metafunc.definition.iter_markers("trials"):
        argument, *values = mark.args
        tried = values if metafunc.config.getoption("soak") else values[:1]
        metafunc.parametrize(argument, tried, **mark.kwargs)


@pytest.fixture
def pytester(pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch) -> pytest.Pytester:
    """A run within a test is without anyio's plugin: what it imports takes three times as long as such a run."""
    monkeypatch.setenv("PYTEST_ADDOPTS", "-pno:anyio")
    return pytester


@pytest.fixture
def soak(pytestconfig: pytest.Config) -> bool:
    return bool(pytestconfig.getoption("soak"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ExecServerProcess]:
    """An exec server on this machine, for whoever leaves it as it was."""
    server = ExecServerProcess(tmp_path_factory.mktemp("exec-server"))
    yield server
    server.close()


@pytest.fixture
def proxy(server: ExecServerProcess) -> Iterator[FaultProxy]:
    """A way to that server that breaks on demand."""
    with FaultProxy(("127.0.0.1", server.port)) as proxy:
        yield proxy


@pytest.fixture
def script() -> Iterator[Callable[..., ScriptedEcs]]:
    """``script(RunTask=[answer, …])``: an ECS that says just this."""
    made: list[ScriptedEcs] = []

    def make(**answers: list[Any]) -> ScriptedEcs:
        made.append(ScriptedEcs(**answers))
        return made[-1]

    yield make
    for each in made:
        each.close()


@pytest.fixture(scope="session")
def warm_engines() -> Iterator[None]:
    """Engines that are started for tests begin as copies of a warm one, from now on."""
    with pytest.MonkeyPatch.context() as patch:
        lend(patch)
        yield


@pytest.fixture(scope="session")
def _engine_of_tests(
    warm_engines: None,  # noqa: ARG001
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[EngineOfTests]:
    need("namespaces")
    home = tmp_path_factory.mktemp("engine")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FARGATE_ENGINE_DIR", str(home / "state"))
        patch.setenv("FARGATE_ENGINE_LOG", str(home / "log.jsonl"))
        patch.delenv("FARGATE_ENGINE_LAUNCH_DELAY", raising=False)
        # An image that is not there is not to be looked for in the registries of the world.
        patch.setenv("FARGATE_ENGINE_OPTIONS", "--runner namespaces")
        patch.setenv("XDG_CACHE_HOME", str(home / "cache"))
        yield EngineOfTests()


@pytest.fixture
def engine(_engine_of_tests: EngineOfTests) -> EngineOfTests:
    """The engine; whatever a test leaves running on it is that test's failure."""
    return _engine_of_tests


@pytest.fixture(scope="session")
def podman_engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    """An engine by hand whose tasks all run in podman, and whose CodeBuild builds with it."""
    podman()
    process = EngineProcess("--runner", "podman", log=tmp_path_factory.mktemp("podman-engine") / "log.jsonl")
    yield process
    assert process.close() == 0


@pytest.fixture
def no_nohup() -> Iterator[None]:
    """Programs that the test starts are ended by SIGHUP, also when these tests run under nohup.

    A program inherits an ignored signal, but not a handler: https://man7.org/linux/man-pages/man7/signal.7.html
    """
    ours = signal.getsignal(signal.SIGHUP)
    if ours is signal.SIG_IGN:
        signal.signal(signal.SIGHUP, lambda *_: None)
    yield
    signal.signal(signal.SIGHUP, ours)


@pytest.fixture
def local_config() -> Callable[..., EcsFargateConfig]:
    """A configuration for the engine, in exec-server mode unless the test says otherwise."""

    def make(**fields: Any) -> EcsFargateConfig:
        sidecar = fields.pop("ssh_sidecar", SshSidecarConfig(exec_server_port=19542))
        return EcsFargateConfig(**{"cluster": "local", "cpu": "256", "memory": "512", **fields}, ssh_sidecar=sidecar)

    return make


@pytest.fixture
def sandbox(
    engine: EngineOfTests,  # noqa: ARG001  it must be there first, and go last
    local_config: Callable[..., EcsFargateConfig],
) -> Iterator[Callable[..., EcsFargateSandbox]]:
    """``sandbox(**config)`` gives a sandbox that is not started; all of them are stopped in the end."""
    made: list[EcsFargateSandbox] = []

    def make(task_id: str = "test", run_id: str = "run", **fields: Any) -> EcsFargateSandbox:
        made.append(EcsFargateSandbox(local_config(**fields), task_id=task_id, run_id=run_id))
        return made[-1]

    yield make
    for each in made:
        each.stop()
