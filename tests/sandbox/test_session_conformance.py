"""The one list of behaviours, held against sandboxes that the Session Manager is the only way into.

A session carries as much as on AWS, which is 0.7 MB a second: the whole list takes minutes, which a soak run has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, SshSidecarConfig
from pytest_fargate_sandbox.conformance import BEHAVIOURS, Behaviour

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine_of_tests import EngineOfTests

WAYS: dict[str, dict[str, Any]] = {
    "ecs-exec": {"ecs_exec": True},
    "ssm": {"connect_via": "ssm", "ssh_sidecar": SshSidecarConfig(exec_server_port=19542, image="host")},
}
"""The sidecar is the one of AWS: its script, and OpenSSH's sshd."""


IN_SHORT = {
    "an_exit_code_is_a_result",
    "every_byte_comes_back_as_it_was",
    "a_command_can_run_as_another_user",
    "a_time_out_kills_the_whole_tree",
    "a_spawned_process_can_be_talked_to",
    "mode_and_time_travel_with_a_file",
    "a_directory_goes_there_and_back",
    "the_sandbox_tells_commands_no_secret_of_its_own",
}


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    if "behaviour" in metafunc.fixturenames:
        everything = metafunc.config.getoption("soak")
        chosen = [each for each in BEHAVIOURS if everything or each.name in IN_SHORT]
        assert everything or len(chosen) == len(IN_SHORT)
        metafunc.parametrize("behaviour", chosen, ids=str)


_OF_AWS = [pytest.mark.root, pytest.mark.needs("namespaces", "sshd")]


@pytest.fixture(scope="module", params=["ecs-exec", pytest.param("ssm", marks=_OF_AWS)])
def shared(request: pytest.FixtureRequest, _engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    cfg = EcsFargateConfig(cluster="local", **WAYS[request.param])
    with EcsFargateSandbox(cfg, task_id=request.param, run_id="conformance") as sandbox:
        sandbox.start()
        yield sandbox


def test_a_sandbox_in_a_session(shared: EcsFargateSandbox, behaviour: Behaviour) -> None:
    behaviour(shared)


@pytest.mark.parametrize("shared", ["ecs-exec"], indirect=True)
def test_it_listens_on_nothing_beyond_its_own_loopback(shared: EcsFargateSandbox) -> None:
    tables = shared.exec("cat /proc/net/tcp /proc/net/tcp6 /proc/net/udp /proc/net/udp6").stdout
    listening = [line.split()[1] for line in tables.splitlines() if " 0A " in line or " 07 " in line]
    assert [place for place in listening if not place.startswith("0100007F:")] == []
    assert any(int(place.partition(":")[2], 16) == 19542 for place in listening)
    described = shared.aws.call("ecs", "DescribeTasks", cluster="local", tasks=[shared.task_arn])["tasks"][0]
    assert [container["name"] for container in described["containers"]] == ["main"]
