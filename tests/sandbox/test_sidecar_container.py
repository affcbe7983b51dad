"""The AWS sidecar's container definition, and what its script is made of."""

from __future__ import annotations

import json

from pytest_fargate_sandbox.leaves import names
from pytest_fargate_sandbox.leaves.config import SshSidecarConfig
from pytest_fargate_sandbox.sandbox.task.sidecar_container import (
    health_script,
    sidecar_container,
    sidecar_environment,
    sidecar_script,
)
from tests.fresh_keys import fresh_key_pair

_EXEC_MODE = SshSidecarConfig(exec_server_port=19542)
_AGENT_MODE = SshSidecarConfig()
_PUBLIC_KEY = "arn:aws:secretsmanager:us-east-1:123456789012:secret:public"
_SECRETS = SshSidecarConfig(public_key_secret_arn=_PUBLIC_KEY, private_key_secret_arn="private")


def definition(sidecar: SshSidecarConfig = _EXEC_MODE, runtime: str = "auto", **more: bool) -> dict[str, object]:
    more.setdefault("health_check", False)
    return sidecar_container(sidecar, image="an image", runtime=runtime, **more)


def test_the_definition_is_the_same_for_every_task() -> None:
    assert definition() == definition()
    assert json.loads(json.dumps(definition())) == definition()


def test_its_end_is_the_end_of_the_task() -> None:
    assert definition()["essential"] is True
    assert definition()["stopTimeout"] == 2


def test_it_is_checked_for_health_only_where_somebody_waits_for_that() -> None:
    assert "healthCheck" not in definition()
    assert "healthCheck" in definition(health_check=True)


def test_a_runtime_is_ordered_where_the_image_has_no_shell() -> None:
    assert {"name": "FARGATE_SANDBOX_RUNTIME", "value": "drop"} in definition(runtime="sidecar")["environment"]  # type: ignore[operator]


def test_the_authorized_key_comes_from_the_secret_where_there_is_one() -> None:
    assert definition(_SECRETS)["secrets"] == [{"name": names.ENV_AUTHORIZED_KEY, "valueFrom": _PUBLIC_KEY}]
    environment = sidecar_environment(_SECRETS, authorized_key="not this", host_key="host", ttl=60)
    assert names.ENV_AUTHORIZED_KEY not in environment
    assert "secrets" not in definition()


def test_what_a_task_is_told_leaves_room_in_its_overrides() -> None:
    environment = sidecar_environment(
        _AGENT_MODE,
        authorized_key=fresh_key_pair().public,
        host_key=fresh_key_pair().private,
        ttl=14400,
        listeners=map(str, range(40000, 40016)),
    )
    assert environment[names.ENV_REVERSE_PORTS].startswith("40000,40001,")
    assert len(json.dumps(environment)) < 1500


def test_the_script_uses_the_words_of_the_contract() -> None:
    script = sidecar_script()
    for name in (names.ENV_HOST_KEY, names.ENV_AUTHORIZED_KEY, names.ENV_SSHD_PORT, names.ENV_TTL, names.ENV_RUNTIME):
        assert name in script
    assert f"shared={names.SHARED_DIR}\n" in script
    assert names.RUNTIME_WANTED in script
    assert names.RUNTIME_DIR in script
    assert f"end {names.EXIT_EXPIRED}" in script
    assert names.RUNTIME_READY in health_script()
    assert names.ENV_REVERSE_PORTS in health_script()


def test_the_script_and_its_container_definition_stay_small() -> None:
    assert len(json.dumps(definition(_AGENT_MODE))) < 12_000
