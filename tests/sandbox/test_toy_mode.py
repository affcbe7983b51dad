"""A mode of somebody else's: one class, registered, and every part of the house takes it as its own."""

from __future__ import annotations

import urllib.request
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.config import SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import SIDECAR_CONTAINER
from pytest_fargate_sandbox.sandbox.connection import Connection
from pytest_fargate_sandbox.sandbox.modes.beside_sidecar import BesideSidecar, plain_sidecar
from pytest_fargate_sandbox.sandbox.modes.mode import Environments
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES, Row, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox

_PORT = 8123


class ServedFiles(BesideSidecar):
    """The main container serves a directory; a tag asks for it."""

    how = 'tags={"served": DIRECTORY}'

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        return "served" in (cfg.tags or {})

    def ask_for(self, task: Any, *, as_default: bool = False) -> None:  # noqa: ARG002
        task.update(ssh_sidecar=plain_sidecar(task), tags={"served": "/etc", **(task.get("tags") or {})})

    def check(self, cfg: EcsFargateConfig) -> None:
        if not (cfg.tags or {})["served"].startswith("/"):
            raise ConfigError("served: expected an absolute path", key="tags")

    def suits_anybody(self, _cfg: Any, _outside: Any) -> bool:
        return True

    def environments(self, cfg: EcsFargateConfig, *, keyring: Any, **_: Any) -> Environments:
        return Environments({SIDECAR_CONTAINER: self._sidecar_environment(cfg, keyring)})

    def _complete_main(self, cfg: EcsFargateConfig, main: dict[str, Any]) -> None:
        main.update(entryPoint=["python3"], command=["-m", "http.server", str(_PORT), "-d", (cfg.tags or {})["served"]])

    def connection(self, cfg: EcsFargateConfig, aws: Any, host: str, keyring: Any, routes: Any) -> Connection:
        return Connection(host, self._door(cfg, aws, host, keyring, routes, _PORT), _PORT)

    def settle_in(self, connection: Connection, cfg: EcsFargateConfig, **_: Any) -> None:
        """Nothing is left to do."""

    def client(self, _connection: Connection) -> Any:
        raise ConfigError("served files take no commands")


@pytest.fixture(autouse=True)
def served() -> Iterator[None]:
    MODES["served"] = Row("served-files", ServedFiles)
    yield
    del MODES["served"]


def test_it_is_launched_and_used_like_any_other(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    served = sandbox(tags={"served": "/etc"}, ssh_sidecar=SshSidecarConfig())
    served.start()
    with urllib.request.urlopen(f"http://127.0.0.1:{served.local_port}/hosts", timeout=10) as answer:
        assert b"localhost" in answer.read()
    with pytest.raises(ConfigError, match="take no commands"):
        served.exec("true")
    served.stop()
    assert not served.is_running


def test_its_own_check_and_its_own_words_are_the_users(local_config: Callable[..., EcsFargateConfig]) -> None:
    with pytest.raises(ConfigError, match="absolute path"):
        mode_of(local_config(tags={"served": "etc"}))
    with pytest.raises(ConfigError, match="for served-files mode"):
        mode_of(local_config(ssh_sidecar=None))
