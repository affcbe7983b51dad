"""Each mode answers for itself; the registry finds the one that a configuration means."""

from __future__ import annotations

import subprocess
import sys
from typing import Any

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.results import OutsideEndpoint
from pytest_fargate_sandbox.sandbox.modes.agent_mode import AgentMode
from pytest_fargate_sandbox.sandbox.modes.exec_mode import ExecMode
from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES, mode_named, mode_of, recognised

_EXEC = SshSidecarConfig(exec_server_port=19542)
_AGENT = SshSidecarConfig()


def _cfg(sidecar: SshSidecarConfig | None = _EXEC, **fields: Any) -> EcsFargateConfig:
    return EcsFargateConfig(cluster="c", ssh_sidecar=sidecar, **fields)


def test_the_sidecar_says_which_mode_is_meant() -> None:
    assert isinstance(mode_of(_cfg()), ExecMode)
    assert isinstance(mode_of(_cfg(_AGENT, container_port=80)), AgentMode)
    assert recognised(_cfg(None)) is None


def test_without_a_way_in_the_error_names_what_each_mode_wants() -> None:
    with pytest.raises(ConfigError, match="ssh_sidecar is not configured") as caught:
        mode_of(_cfg(None))
    for name in MODES:
        assert mode_named(name).how in str(caught.value)


def test_an_agent_has_to_listen_somewhere() -> None:
    with pytest.raises(ConfigError, match="container_port is missing"):
        mode_of(_cfg(_AGENT))


@pytest.mark.parametrize("name", list(MODES))
@pytest.mark.parametrize("given", [None, {}, {"sshd_port": 2022}, _EXEC, _AGENT])
def test_a_mapping_can_be_made_to_ask_for_any_mode(name: str, given: Any) -> None:
    task = {"ssh_sidecar": given, "container_port": 80, "task_role_arn": "arn:aws:iam::123456789012:role/task"}
    mode_named(name).ask_for(task)
    cfg = EcsFargateConfig.from_dict(task)
    assert type(mode_of(cfg)) is type(mode_named(name))
    sidecar = cfg.ssh_sidecar
    assert sidecar is None or sidecar.sshd_port == (2022 if given == {"sshd_port": 2022} else 2222)
    for other in MODES:  # whichever it asked for before
        mode_named(other).ask_for(task)
        assert type(mode_of(EcsFargateConfig.from_dict(task))) is type(mode_named(other))


def test_a_default_leaves_alone_what_a_file_says_itself() -> None:
    task: dict[str, Any] = {"ssh_sidecar": {"exec_server_port": None}}
    mode_named("exec").ask_for(task, as_default=True)
    assert task == {"ssh_sidecar": {"exec_server_port": None}}


def test_what_is_no_sidecar_is_left_for_the_configuration_to_refuse() -> None:
    for name in MODES:
        task: dict[str, Any] = {"ssh_sidecar": "yes"}
        mode_named(name).ask_for(task)
        with pytest.raises(ConfigError, match="ssh_sidecar"):
            EcsFargateConfig.from_dict(task)


def test_only_an_agent_with_something_of_its_own_cannot_be_launched_for_anybody() -> None:
    outside = (OutsideEndpoint("http://h:1", "URL"),)
    assert mode_named("exec").suits_anybody(_cfg(extra_env={"A": "1"}), outside)
    assert mode_named("agent").suits_anybody(_cfg(_AGENT), ())
    assert not mode_named("agent").suits_anybody(_cfg(_AGENT), outside)
    assert not mode_named("agent").suits_anybody(_cfg(_AGENT, extra_env={"A": "1"}), ())


def test_health_is_asked_for_only_where_somebody_waits_for_it() -> None:
    def sidecar(cfg: EcsFargateConfig) -> tuple[bool, str]:
        main: dict[str, Any] = {}
        (beside,) = mode_of(cfg).complete(cfg, main, None)
        return "healthCheck" in beside, main["dependsOn"][0]["condition"]

    assert sidecar(_cfg()) == (False, "START")
    assert sidecar(_cfg(runtime="sidecar")) == (True, "HEALTHY")
    assert sidecar(_cfg(_AGENT, container_port=80)) == (True, "HEALTHY")


def test_naming_the_modes_imports_none_of_them() -> None:
    code = (
        "import sys; from pytest_fargate_sandbox.sandbox.modes.mode_registry import MODES; "
        "assert 'exec' in MODES and all(row.title for row in MODES.values()); "
        "print([name for name in sys.modules if name.endswith(('_mode', 'leaves.errors', 'leaves.config'))])"
    )
    asked = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert asked.stdout == "[]\n"
