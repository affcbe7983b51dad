"""What cannot be had here, and what nobody means, is told before anything is launched."""

from __future__ import annotations

import asyncio
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from harbor.cli.main import app
from harbor.models.task.config import NetworkMode, NetworkPolicy

from pytest_fargate_sandbox import ConfigError
from pytest_fargate_sandbox.adapters.harbor import FargateEnvironment
from pytest_fargate_sandbox.adapters.harbor_options import OFFERED
from tests.task_folders import make_task

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

    Environment = Callable[..., FargateEnvironment]

ON_AWS = {"cluster": "mine", "subnets": ["subnet-1"], "network": None}
NO_NETWORK = NetworkPolicy(network_mode=NetworkMode.NO_NETWORK)


@pytest.mark.parametrize(
    ("parts", "says", "told"),
    [
        ((), {"gpus": 1}, "Task requires 1 GPU"),
        ((), {"os": "windows"}, "does not support Windows containers"),
        ((), {"docker_image": None}, "has no environment definition"),
        (({"docker-compose.yaml": "services: {main: {}, db: {}}"},), {}, "compose files are not read"),
        ((None, {"mounts": [{"type": "bind", "source": "/x", "target": "/y"}]}), {}, r"no directories of this machine"),
        ((None, {"auto_mounting": True}), {}, "does not support automatic host mounts"),
        (
            (None, {"network_policy": NetworkPolicy(network_mode=NetworkMode.ALLOWLIST, allowed_hosts=["x.org"])}),
            {},
            "network_mode='allowlist' is not supported",
        ),
        ((None, {"cluser": "mine"}), {}, r"Unknown option 'cluser'"),
        ((None, {"ttl": 0}), {}, "ttl: Input should be greater than or equal to 1"),
        ((None, {"network": "some"}), {}, "network: Input should be 'none' or 'public'"),
    ],
)
def test_an_environment_that_cannot_be_had_is_refused_in_harbors_words(
    environment: Environment, parts: tuple[Any, ...], says: dict[str, Any], told: str
) -> None:
    with pytest.raises((ValueError, RuntimeError, FileNotFoundError), match=told):
        environment(*parts, **says)


@pytest.mark.parametrize(
    ("parts", "says", "told"),
    [
        ((None, {**ON_AWS, "network_policy": NO_NETWORK}), {}, r"no_network_subnets=\[\].*network='none' on AWS"),
        ((), {"cpus": 32}, "Fargate has at most 16 CPUs"),
        ((), {"storage_mb": 300 * 1024}, "Fargate has at most 200"),
    ],
)
def test_what_fargate_does_not_have_is_refused_at_the_start(
    environment: Environment, parts: tuple[Any, ...], says: dict[str, Any], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        asyncio.run(environment(*parts, **says).start(force_build=False))


def test_sizes_are_rounded_up_and_hold(started: Callable[..., None], engine: EngineOfTests) -> None:
    async def act(there: Any) -> None:
        task = engine.task(there._sandbox.task_arn)
        assert (task["cpu"], task["memory"]) == ("1024", "3072")

    started(act, cpus=0.75, memory_mb=2500)


def test_a_network_that_a_task_is_not_to_have_is_not_there(started: Callable[..., None]) -> None:
    async def act(there: Any) -> None:
        assert (await there.exec("ls /sys/class/net")).stdout.split() == ["lo"]

    started(act, None, {"network": None, "network_policy": NO_NETWORK})


def test_a_public_task_has_the_internet_unless_the_option_says_none(environment: Environment) -> None:
    from pytest_fargate_sandbox.adapters.harbor_task import spec_of

    found = []
    for said in (None, "none", "public"):
        there = environment(None, {"network": said})
        found.append(spec_of(there, there._settings, force_build=False)[0].config.network)
    assert found == ["public", "none", "public"]


def test_options_are_refused_before_a_trial_begins(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    given = ["run", "-y", "-e", f"{FargateEnvironment.__module__}:FargateEnvironment", "-a", "nop"]
    folder = str(make_task(tmp_path / "t"))
    for option, told in (("memory=100", "memory='100': with cpu 1024"), ("runner=magic", "runner: Input should be")):
        with pytest.raises(SystemExit):
            app([*given, "-p", folder, "-o", str(tmp_path / "jobs"), "--ek", option], standalone_mode=False)
        assert told in capsys.readouterr().out
    assert not (tmp_path / "jobs").exists()


def test_harbor_shows_the_options_out_of_our_own_table(capsys: pytest.CaptureFixture[str]) -> None:
    name = f"{FargateEnvironment.__module__}:FargateEnvironment"
    app(["environment", "schema", name], standalone_mode=False)
    shown = capsys.readouterr().out
    assert set(OFFERED) <= set(shown.split())


def test_another_version_of_harbor_is_named_with_those_that_it_may_be(tmp_path: Path) -> None:
    fake = tmp_path / "harbor-0.31.0.dist-info"
    fake.mkdir()
    (fake / "METADATA").write_text("Metadata-Version: 2.1\nName: harbor\nVersion: 0.31.0\n")
    code = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); import pytest_fargate_sandbox.adapters.harbor"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.stderr.splitlines()[-1].startswith("ImportError: harbor 0.31.0 is installed, and this version of ")
    assert "is for harbor <0.27,>=0.26: pip install 'pytest-fargate-sandbox[harbor]'" in done.stderr


def test_a_wrong_option_of_the_environment_is_told_by_its_name(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("FARGATE_MAX_TASKS", "some")
    with pytest.raises(ConfigError, match="FARGATE_MAX_TASKS=some: expected a whole number"):
        FargateEnvironment.preflight({})
