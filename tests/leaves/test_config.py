"""A config is checked when it is made, and says what it wanted."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest

from pytest_fargate_sandbox import ConfigError, EcsFargateConfig, SshSidecarConfig


def test_the_default_time_to_live_is_the_same_wherever_it_is_said() -> None:
    default = EcsFargateConfig(cluster="local").max_task_lifetime_sec
    docs = Path(__file__).parents[2] / "docs"
    sidecar = files("pytest_fargate_sandbox").joinpath("sandbox", "task", "sidecar.sh").read_text()
    assert f"FARGATE_SANDBOX_TTL:-{default}}}" in sidecar
    assert f"these are {default};" in (docs / "pytest.md").read_text()
    assert f"default {default}." in (docs / "harbor.md").read_text()


def test_plain_values_become_what_the_fields_mean() -> None:
    cfg = EcsFargateConfig.from_dict(
        {
            "cluster": "bench",
            "subnets": "subnet-1",
            "cpu": 1024,
            "memory": 2048,
            "max_task_lifetime_sec": "600",
            "poll_interval_sec": "0.5",
            "extra_env": {"RETRIES": 3, "DEBUG": True},
            "ssh_sidecar": {"exec_server_port": "19542"},
        }
    )
    assert cfg.subnets == ["subnet-1"]
    assert (cfg.cpu, cfg.memory) == ("1024", "2048")
    assert (cfg.max_task_lifetime_sec, cfg.poll_interval_sec) == (600, 0.5)
    assert cfg.extra_env == {"RETRIES": "3", "DEBUG": "true"}
    assert cfg.ssh_sidecar == SshSidecarConfig(exec_server_port=19542)


@pytest.mark.parametrize(
    ("values", "public"),
    [
        ({}, False),
        ({"ssh_sidecar": {}}, True),
        ({"ssh_sidecar": {}, "assign_public_ip": False}, False),
        ({"ssh_sidecar": {}, "connect_via": "private"}, False),
        ({"ssh_sidecar": None}, False),
    ],
)
def test_a_sidecar_asks_for_a_public_address_unless_told_otherwise(values: dict[str, Any], public: bool) -> None:
    assert EcsFargateConfig.from_dict(values).assign_public_ip is public


def test_build_parallelism_is_at_least_one() -> None:
    assert EcsFargateConfig.from_dict({"build_parallelism": 0}).build_parallelism == 1


@pytest.mark.parametrize(
    ("values", "key", "says"),
    [
        ({"clutser": "x"}, "clutser", "did you mean 'cluster'"),
        ({"ssh_sidecar": {"sshdport": 1}}, "ssh_sidecar.sshdport", "did you mean 'sshd_port'"),
        ({"cpu": 999}, "cpu", "256, 512, 1024"),
        ({"cpu": "lots"}, "cpu", "a whole number"),
        ({"cpu": 256, "memory": 4096}, "memory", "512, 1024, 2048 MiB"),
        ({"cpu": 8192, "memory": 17000}, "memory", "16384 to 61440 in steps of 4096"),
        ({"subnets": ["subnet-1"] * 17}, "subnets", "at most 16"),
        ({"security_groups": ["sg-1"] * 6}, "security_groups", "at most 5"),
        ({"tags": {"team": "AWS:x"}}, "tags", "do not start with aws:"),
        ({"extra_env": {" ": "x"}}, "extra_env", "names that are not blank"),
        (
            {"volumes": [{"file_system_id": f"fs-{n}", "path": path} for n, path in enumerate(("/a", "/a/"))]},
            "volumes",
            "another path for each",
        ),
        (
            {"ssh_sidecar": {"public_key_secret_arn": "mine", "private_key_secret_arn": "mine"}},
            "ssh_sidecar.public_key_secret_arn",
            "the ARN of a secret",
        ),
        ({"ephemeral_storage_gib": 20}, "ephemeral_storage_gib", "21 to 200"),
        ({"ephemeral_storage_gib": 201}, "ephemeral_storage_gib", "21 to 200"),
        ({"network": "allowlist"}, "network", "expected 'none' or 'public'"),
        ({"network": "none", "cluster": "bench", "no_network_security_groups": ["sg-1"]}, "no_network_subnets", "AWS"),
        ({"network": "none", "cluster": "bench", "no_network_subnets": ["s-1"]}, "no_network_security_groups", "AWS"),
        ({"connect_via": "publik"}, "connect_via", "did you mean 'public'"),
        ({"assign_public_ip": "maybe"}, "assign_public_ip", "true or false"),
        ({"subnets": 3}, "subnets", "a list"),
        ({"extra_env": ["A=1"]}, "extra_env", "a mapping"),
        ({"max_task_lifetime_sec": -1}, "max_task_lifetime_sec", "above 0"),
        ({"max_task_lifetime_sec": 1.5}, "max_task_lifetime_sec", "a whole number"),
        ({"container_port": 70000}, "container_port", "1 to 65535"),
        ({"ssh_sidecar": {"exec_server_port": 2222}}, "ssh_sidecar.exec_server_port", "another port"),
        ({"ssh_sidecar": {"public_key_secret_arn": "arn"}}, "ssh_sidecar.private_key_secret_arn", "both secrets"),
        ({"task_definition_family_prefix": "a b"}, "task_definition_family_prefix", "letters, digits"),
        ({"ssh_sidecar": "yes"}, "ssh_sidecar", "a mapping"),
        ({"max_task_lifetime_sec": float("inf")}, "max_task_lifetime_sec", "a whole number"),
        ({"subnets": ["subnet-1", None]}, "subnets", "a string"),
        ({"volumes": ["fs-1"]}, "volumes", "a mapping"),
        ({"volumes": {"file_sistem_id": "fs-1", "path": "/data"}}, "volumes", "did you mean 'file_system_id'"),
        ({"volumes": {"file_system_id": "fs-1"}}, "volumes", "a path in each EFS volume"),
        ({"endpoint_url": "localhost:4566"}, "endpoint_url", "http://HOST:PORT"),
        ({"extra_env": {"A=B": "x"}}, "extra_env", "without '='"),
        ({"extra_env": {"A": "x\0"}}, "extra_env.A", "without NUL"),
        ({"extra_env": {"A": ["x"]}}, "extra_env.A", "is of type list: expected a string, a number, true or false"),
        ({"extra_env": {"A": "\udc80"}}, "extra_env.A", "half a character"),
        ({"image_template": "deb\udc80ian"}, "image_template", "'deb\\udc80ian': expected"),
        ({"image_template": "deb\aian"}, "image_template", "'deb\\x07ian': expected an image's name"),
        ({"image_template": "de bian"}, "image_template", "without blanks"),
        ({"user": "me\0"}, "user", "signs that can be printed"),
        ({"max_task_lifetime_sec": 10**30}, "max_task_lifetime_sec", "at most 2147483647 seconds"),
        ({"image_template": 3}, "image_template", "image_template=3: expected an image's name"),
    ],
)
def test_a_wrong_value_names_key_value_and_what_is_allowed(values: dict[str, Any], key: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        EcsFargateConfig.from_dict(values)
    assert caught.value.key == key
    assert key in str(caught.value)
    assert says in str(caught.value)


@pytest.mark.parametrize("values", [None, ["cluster"], "cluster=bench"])
def test_what_is_no_mapping_is_a_config_error(values: Any) -> None:
    with pytest.raises(ConfigError, match="a mapping"):
        EcsFargateConfig.from_dict(values)


def test_a_config_made_by_a_program_is_as_lenient_as_one_from_a_file() -> None:
    loose: dict[str, Any] = {
        "cpu": 1024,
        "memory": 2048,
        "subnets": "subnet-1",
        "max_task_lifetime_sec": "600",
        "environment_dir": Path("here"),
        "ssh_sidecar": {"exec_server_port": 19542},
    }
    cfg = EcsFargateConfig(**loose)
    assert (cfg.cpu, cfg.memory, cfg.subnets, cfg.environment_dir) == ("1024", "2048", ["subnet-1"], "here")
    assert cfg.max_task_lifetime_sec == 600
    assert cfg.ssh_sidecar == SshSidecarConfig(exec_server_port=19542)


def test_a_config_does_not_show_the_environment_in_reports() -> None:
    assert "hunter2" not in repr(EcsFargateConfig(extra_env={"API_KEY": "hunter2"}))


def test_a_config_error_is_a_value_error() -> None:
    with pytest.raises(ValueError, match="cpu"):
        EcsFargateConfig(cpu="7")
