"""What a task may say of its sandboxes, and what is said of what it may not."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

import pytest
from inspect_ai._util.error import PrerequisiteError
from inspect_ai.util import ComposeConfig, SandboxEnvironmentSpec
from pydantic import ValidationError

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.adapters.inspect import FargateSandboxConfig, FargateSandboxEnvironment
from pytest_fargate_sandbox.adapters.inspect_specs import sandboxes_of, variables_of

if TYPE_CHECKING:
    from pathlib import Path

_GPU = "{services: {default: {image: i, deploy: {resources: {reservations: {devices: [{capabilities: [gpu]}]}}}}}}"


def written(file: Path, text: str) -> str:
    file.write_text(text)
    return str(file)


def only(config: Any) -> Any:
    [found] = sandboxes_of(config, {}).values()
    return found


def test_a_config_says_what_a_sandbox_is_and_the_environment_where_it_is(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_CLUSTER", "bench")
    monkeypatch.setenv("FARGATE_IMAGE", "another:1")
    found = only(
        FargateSandboxConfig(image="mine:2", memory=4096, env={"A": "b"}, storage=30, ttl=60, network="public")
    )
    config = found.spec.config
    assert (config.cluster, config.image_template, config.cpu, config.memory) == ("bench", "mine:2", "1024", "4096")
    assert (config.extra_env, config.ephemeral_storage_gib, config.max_task_lifetime_sec) == ({"A": "b"}, 30, 60)
    assert (config.network, config.user, found.user) == ("public", None, None)


def test_commands_are_the_user_s_and_the_container_is_root_s() -> None:
    found = only(FargateSandboxConfig(user="agent"))
    assert (found.user, found.spec.config.user) == ("agent", "0")


_JSON = """
{"cpu": 512, "env": {"A": "b"}, "sandboxes": {"default": {"environment": "made"}, "other": {"image": "x"}}}
"""
_TOML = """
cpu = 512
env.A = "b"
sandboxes.other.image = "x"
sandboxes.default.environment = "made"
"""
_YAML = """
cpu: 512
env: {A: b}
sandboxes: {other: {image: x}, default: {environment: made}}
"""


@pytest.mark.parametrize(("name", "text"), [("fargate.yaml", _YAML), ("fargate.json", _JSON), ("my.toml", _TOML)])
def test_a_file_has_the_same_keys_and_several_sandboxes_by_name(name: str, text: str, tmp_path: Path) -> None:
    found = sandboxes_of(written(tmp_path / name, text), {})
    assert list(found) == ["default", "other"]
    configs = [each.spec.config for each in found.values()]
    assert [each.image_template for each in configs] == [None, "x"]
    assert [each.environment_dir for each in configs] == [str(tmp_path / "made"), None]
    assert [(each.cpu, each.extra_env) for each in configs] == [("512", {"A": "b"})] * 2


def test_a_dockerfile_is_the_directory_that_it_is_in(tmp_path: Path) -> None:
    assert only(str(tmp_path / "Dockerfile")).spec.config.environment_dir == str(tmp_path)


def test_of_a_compose_file_there_is_what_a_task_has(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOST_NAME", "me")
    file = written(
        tmp_path / "compose.yaml",
        """
        services:
          default:
            build: {context: image}
            image: what-is-built
            init: true
            command: tail -f /dev/null
            working_dir: /work
            user: agent
            network_mode: none
            environment: ["TASK=${SAMPLE_METADATA_MY_TASK:-none}", "PRICE=$$5", HOST_NAME]
            cpus: 0.5
            mem_limit: 1.5gb
            deploy: {resources: {reservations: {cpus: 1, memory: 512m}}}
        """,
    )
    variables = variables_of(file, {"my task": "first", "other": "no"})
    assert variables == {"SAMPLE_METADATA_MY_TASK": "first"}
    [found] = sandboxes_of(file, variables).values()
    config = found.spec.config
    assert (config.environment_dir, config.image_template) == (str(tmp_path / "image"), None)
    assert config.extra_env == {"TASK": "first", "PRICE": "$5", "HOST_NAME": "me"}
    assert (config.cpu, config.memory, config.network) == ("1024", "2048", "none")
    assert (found.user, found.working_dir) == ("agent", "/work")
    assert sandboxes_of(file, {})["default"].spec.config.extra_env["TASK"] == "none"  # type: ignore[index]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (
            "{services: {a: {image: x}, b: {image: y}}}",
            "2 services (a, b): on Fargate each would be a machine of its own",
        ),
        ("{services: {a: {image: x, privileged: true, volumes: ['.:/x']}}}", "Fargate has no privileged, no volumes"),
        ("{services: {a: {image: x}}, networks: {n: {}}}", "no networks"),
        ("{services: {a: {image: x, command: nginx}}}", "no command (nginx) beside the exec server"),
        ("{services: {a: {image: x, network_mode: host}}}", "no network_mode host"),
        (_GPU, "no devices (GPUs)"),
        ("{services: {a: {image: x, runtime: nvidia}}}", "no runtime"),
        ("{services: {a: {build: {context: ., dockerfile: Other}}}}", "not Other"),
        ("{services: {a: {image: x, cpus: 64}}}", "Fargate has at most 16 CPUs"),
        ("{services: {a: {image: x, mem_limit: lots}}}", "'lots': expected an amount of memory"),
        ("{services: {a: {image: x, colour: red}}}", "Unknown field: 'colour'"),
        ("{services: {a: {image: '${NO_SUCH:?say it}'}}}", "NO_SUCH: say it"),
        ("{services: [", "cannot be read"),
    ],
)
def test_of_a_compose_file_the_rest_is_refused_by_name(text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=re.escape(told)):
        sandboxes_of(written(tmp_path / "compose.yaml", text), {})


@pytest.mark.parametrize(
    ("said", "told"),
    [
        ({"image": "x", "environment": "y"}, "image and environment exclude each other"),
        ({"gpu": 1}, "gpu\n  Extra inputs are not permitted"),
        ({"sandboxes": {"a": {"cpus": 2}}}, "sandboxes.a.cpus\n  Extra inputs are not permitted"),
        ({"cpu": "many"}, "cpu\n  Input should be a valid integer"),
        ({"network": "host"}, "network\n  Input should be 'none' or 'public'"),
    ],
)
def test_a_config_s_own_schema_says_what_is_wrong(said: dict[str, Any], told: str) -> None:
    with pytest.raises(ValidationError, match=re.escape(told)):
        FargateSandboxConfig(**said)


@pytest.mark.parametrize(
    ("name", "text", "told"),
    [
        ("fargate.yaml", "gpu: 1", "fargate.yaml: gpu: Extra inputs are not permitted"),
        ("fargate.yaml", "{image: a, environment: b}", "image and environment exclude each other"),
        ("fargate.yaml", "cpu: 300", "cpu 300 is not a Fargate size"),
        ("fargate.yaml", "a: [", "does not parse"),
        ("fargate.ini", "", "expected a file that ends in"),
        ("Dockerfile.gpu", "", "not Dockerfile.gpu"),
    ],
)
async def test_a_task_whose_config_is_wrong_does_not_begin(name: str, text: str, told: str, tmp_path: Path) -> None:
    with pytest.raises(PrerequisiteError) as caught:
        await FargateSandboxEnvironment.task_init("startup", written(tmp_path / name, text))
    assert told in str(caught.value.message)


def test_a_config_comes_back_from_a_log_as_it_was() -> None:
    spec = SandboxEnvironmentSpec("fargate", FargateSandboxConfig(cpu=256, sandboxes={"a": {"image": "x"}}))
    again = SandboxEnvironmentSpec.model_validate(spec.model_dump(exclude_none=True))
    assert again == spec
    assert hash(again) == hash(spec)
    composed = SandboxEnvironmentSpec.model_validate({"type": "fargate", "config": {"services": {"a": {"image": "x"}}}})
    assert isinstance(composed.config, ComposeConfig)
