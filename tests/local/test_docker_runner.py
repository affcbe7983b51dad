"""docker's own command line. No daemon of docker's runs here, so podman's service answers to it: the same API."""

from __future__ import annotations

import subprocess
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.podman.command_runner import DockerRunner
from tests.components import need
from tests.local.engine_process import WAIT, EngineProcess, container, container_states
from tests.real_podman import busybox_image, no_registry, podman

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[EngineProcess]:
    need("docker on podman")
    address = Path(tmp_path_factory.mktemp("docker")) / "s"
    service = subprocess.Popen(
        podman().argv("system", "service", "--time", "0", f"unix://{address}"), stderr=subprocess.DEVNULL
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DOCKER_HOST", f"unix://{address}")
        wait_until(lambda: DockerRunner.available() is None or None, deadline=20, what="an answer to docker")
        engine = EngineProcess("--runner", "docker")
        yield engine
        assert engine.close() == 0
    service.terminate()
    service.wait()


def real(name: str = "main", script: str = WAIT, **fields: Any) -> dict[str, Any]:
    return container(name, script, **{"image": busybox_image(), **fields})


def test_a_task_runs_its_ports_answer_and_it_leaves_nothing(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(real(script=f"mkdir /w; echo hello > /w/x; httpd -p 8080 -h /w; {WAIT}")))
    engine.wait(arn, "RUNNING")
    url = f"http://{engine.address(arn)}:8080/x"

    def fetched() -> bytes | None:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError:
            return None

    assert wait_until(fetched, deadline=10, what=url) == b"hello\n"
    engine.stop(arn)
    assert podman().run("ps", "-aq", "--filter", f"name={arn.rpartition('/')[2][:12]}") == ""


def test_exit_codes_and_environment_arrive(engine: EngineProcess) -> None:
    script = '[ "$PATH $LINES" = "/bin:/odd one\ntwo" ] && exit 7'
    environment = [{"name": "PATH", "value": "/bin:/odd"}, {"name": "LINES", "value": "one\ntwo"}]
    arn = engine.launch(engine.register(real(script=script, environment=environment)))
    assert container_states(engine.wait(arn, "STOPPED"))["main"][1] == 7


def test_a_reference_that_does_not_exist_says_so_in_fargates_words(engine: EngineProcess) -> None:
    with no_registry() as host:
        arn = engine.launch(engine.register(real(image=f"{host}/nobody/nothing:1")))
        reason = engine.wait(arn, "STOPPED")["stoppedReason"]
    assert reason.startswith(f"CannotPullContainerError: docker can't pull {host}/nobody/nothing:1")


@pytest.mark.needs("docker")
def test_without_a_daemon_it_says_what_is_wrong(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DOCKER_HOST", "unix:///nowhere/docker.sock")
    assert "docker is here but does not answer" in str(DockerRunner.available())
