"""What a mode answers for: all that differs between the ways of using a task. No other module asks which mode it is."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, MutableMapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.sandbox.connection import Connection
    from pytest_fargate_sandbox.sandbox.endpoints import Routes
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.keyring import Keyring
    from pytest_fargate_sandbox.sandbox.task.container_parts import Payload


@dataclass(frozen=True)
class Environments:
    """What the containers of one task find in their environment, beside what every task of the kind has.

    ``overrides`` travels with RunTask, by container. ``registered`` is what of the main container's is too long for
    that, and becomes a part of the task definition.
    """

    overrides: Mapping[str, Mapping[str, str]]
    registered: Mapping[str, str] = field(default_factory=dict)


class Mode(Protocol):
    """One way of using a task, without any state. ``check`` and ``settle_in`` may be left out."""

    how: str
    """What to write into a configuration to get it; the error of one that means no mode says so."""

    takes_commands: bool = True
    """Whether ``client`` gives one."""

    # --- which one is meant ---------------------------------------------------------------------------------------

    def is_meant(self, cfg: EcsFargateConfig) -> bool:
        """Whether this configuration asks for it."""

    def ask_for(self, task: MutableMapping[str, Any], *, as_default: bool = False) -> None:
        """Make the mapping of a configuration ask for it; ``as_default`` changes nothing that it says itself."""

    # --- before a launch ------------------------------------------------------------------------------------------

    def check(self, cfg: EcsFargateConfig) -> None:
        """Raise ``ConfigError`` where the configuration lacks what this mode needs."""

    def suits_anybody(self, cfg: EcsFargateConfig, outside: Collection[OutsideEndpoint]) -> bool:
        """Whether a task that was launched ahead, for nobody in particular, would do."""

    def taken_ports(self, cfg: EcsFargateConfig) -> list[int]:
        """Ports inside of the task that no outside endpoint can have."""

    def make_keyring(self, cfg: EcsFargateConfig, aws: Aws, *, task_id: str, secret: bytes | None) -> Keyring:
        """The secrets of one sandbox; derived from ``secret`` where others are to know them."""

    def with_own_images(self, cfg: EcsFargateConfig, aws: Aws) -> EcsFargateConfig:
        """``cfg`` with the images of the mode's own containers looked up."""

    # --- what the task is made of ---------------------------------------------------------------------------------

    def environments(self, cfg: EcsFargateConfig, *, task_id: str, keyring: Keyring, routes: Routes) -> Environments:
        """What differs from task to task. Raises ``ConfigError`` for a placeholder that can never be filled in."""

    def complete(self, cfg: EcsFargateConfig, main: Payload, logs: Payload | None) -> list[Payload]:
        """Complete ``main``, the main container's definition, in place; return those of the containers beside it."""

    def command_as_it_is(self, cfg: EcsFargateConfig, main: Payload) -> list[str]:
        """What ``main`` runs where its definition is not to be changed, and all that differs travels with RunTask."""

    # --- the way in, and the end ----------------------------------------------------------------------------------

    def clock(self, cfg: EcsFargateConfig) -> str:
        """The container that holds the time to live, and ends with ``names.EXIT_EXPIRED`` when it is over."""

    def patience_sec(self, cfg: EcsFargateConfig) -> float:
        """How long the way in may take to open once the containers run."""

    def connection(self, cfg: EcsFargateConfig, aws: Aws, host: str, keyring: Keyring, routes: Routes) -> Connection:
        """The way into the task at the address ``host``, not open yet."""

    def settle_in(
        self, connection: Connection, cfg: EcsFargateConfig, *, task_id: str, task_ip: str | None, routes: Routes
    ) -> None:
        """The last step of a start, when everything answers: what the mode has to set up inside, if anything."""

    def client(self, connection: Connection) -> ExecClient:
        """Who carries out commands and file verbs. Raises ``ConfigError`` where nobody does."""
