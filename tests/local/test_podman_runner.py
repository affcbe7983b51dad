"""Real images and real containers, seen by plain boto3 through the engine."""

from __future__ import annotations

import json
import os
import signal
import time
import urllib.request
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.local.runners.task_limits import most_processes
from tests.local.engine_process import (
    OF_A_PROXY,
    ROLE,
    WAIT,
    EngineProcess,
    container,
    container_states,
    processes_of,
    wait_for_end,
)
from tests.local.ssm.exec_task import PORT, ExecTask, launch
from tests.local.ssm.session_peer import Streams
from tests.processes import command_lines
from tests.real_podman import busybox_image, no_registry, podman

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def engine(podman_engine: EngineProcess) -> EngineProcess:
    return podman_engine


def real(name: str = "main", script: str = WAIT, **fields: Any) -> dict[str, Any]:
    """A container that runs a shell script in a real image."""
    return container(name, script, **{"image": busybox_image(), **fields})


def logged(group: str, **fields: Any) -> dict[str, Any]:
    options = {"awslogs-group": group, "awslogs-region": "us-east-1", "awslogs-stream-prefix": "t"}
    configuration = {"logDriver": "awslogs", "options": {**options, "awslogs-create-group": "true"}}
    return real(**fields, logConfiguration=configuration)


def output_of(engine: EngineProcess, **fields: Any) -> list[str]:
    """What a container says until it ends."""
    group = f"/test/{time.monotonic_ns()}"
    arn = engine.launch(engine.register(logged(group, **fields), executionRoleArn=ROLE))
    engine.wait(arn, "STOPPED")
    stream = f"t/main/{arn.rpartition('/')[2]}"
    events = engine.client("logs").get_log_events(logGroupName=group, logStreamName=stream, startFromHead=True)
    return [event["message"] for event in events["events"]]


def containers_of(arn: str) -> list[str]:
    return podman().run("ps", "-aq", "--filter", f"name={arn.rpartition('/')[2][:12]}").split()


_SECRET = "s3cr3t-of-this-test"
_SERVE = f"mkdir /tmp/w; hostname > /tmp/w/name; httpd -p 8080 -h /tmp/w; nc -ll -p {PORT} -e cat & {WAIT}"


@pytest.fixture(scope="module")
def standing(engine: EngineProcess) -> Iterator[ExecTask]:
    """A task for all who leave it as it was: of a user who is nobody, with ports, secrets and ECS Exec."""
    names = {"TOKEN": "", "GOOGLE_KEY": "", "DOCKER_PASSWORD": "", "DOCKER_AUTH_CONFIG": "{\n}"}
    secrets = [{"name": name, "value": more + _SECRET} for name, more in names.items()]
    environment = [{"name": "WORD", "value": "ours"}, *secrets]
    fields: dict[str, Any] = {"workingDirectory": "/run", "user": "nobody", "environment": environment}
    task = launch(engine, image=busybox_image(), script=_SERVE, **fields).wait_for_echo()
    yield task
    engine.stop(task.arn)
    assert engine.log_lines("error") == []


def test_a_task_of_a_real_image_runs_and_leaves_nothing(engine: EngineProcess) -> None:
    arn = engine.launch(
        engine.register(
            real(script="sleep 100"), real("other", script="trap 'exit 5' TERM; while :; do sleep 0.1; done")
        )
    )
    engine.wait(arn, "RUNNING")
    assert len(containers_of(arn)) == 3

    task = engine.stop(arn)

    assert container_states(task)["other"] == ("STOPPED", 5, None)
    assert container_states(task)["main"][1] in (137, 143)
    assert containers_of(arn) == []


@pytest.fixture(scope="module")
def said(engine: EngineProcess) -> list[str]:
    """By a container that asks what it reaches, says much, and fails, by a name that podman knows."""
    host = engine.exports["AWS_ENDPOINT_URL"].rpartition(":")[2]
    ask = f"ip route; ip -o link | wc -l; printf 'GET / HTTP/1.0\\r\\n\\r\\n' | nc 127.0.0.1 {host}"
    ask += "; echo \"groups to write in: $(grep -E '^cgroup2? ' /proc/mounts | grep -c ' rw')\""
    script = f"{ask}; seq 1 2000; echo on stderr >&2; exit 7"
    return output_of(engine, script=script, entryPoint=["/sbin/init", "-c"])


def test_all_output_arrives(said: list[str]) -> None:
    assert said[-2:] in (["2000", "on stderr"], ["1999", "2000"])


def test_a_container_reaches_neither_the_host_nor_the_outside(said: list[str]) -> None:
    assert said[0] == "1"
    assert any("403" in line for line in said)


def test_an_init_has_no_control_groups_of_this_machines(said: list[str]) -> None:
    assert [line[-1] for line in said if "groups to write in: " in line] == ["0"]


def test_what_does_not_start_says_so_in_fargates_words(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(real(entryPoint=["/no/such/program"])))
    task = engine.wait(arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith("CannotStartContainerError: ")
    assert "/no/such/program" in task["stoppedReason"]
    assert containers_of(arn) == []


def test_a_reference_that_does_not_exist_says_so_in_fargates_words(engine: EngineProcess) -> None:
    with no_registry() as host:
        arn = engine.launch(engine.register(real(image=f"{host}/nobody/nothing:1")))
        task = engine.wait(arn, "STOPPED")
    assert task["stopCode"] == "TaskFailedToStart"
    assert task["stoppedReason"].startswith(f"CannotPullContainerError: podman can't pull {host}/nobody/nothing:1")


def test_no_file_of_this_machine_is_an_image(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(real(image="docker-archive:/etc/hostname")))
    reason = engine.wait(arn, "STOPPED")["stoppedReason"]
    assert "can't pull docker.io/docker-archive:/etc/hostname: " in reason
    assert "invalid reference format" in reason


def test_no_annotation_of_an_image_steers_the_runtime(engine: EngineProcess, tmp_path: Path) -> None:
    """Of crun's one has it load a library of this machine, another takes the filter of system calls away."""
    image = "localhost/fargate-sandbox-test-annotated"
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image()}\n")
    wanted = ("run.oci.seccomp_bpf_data=AA==", "run.oci.seccomp.plugins=x.so", "org.systemd.property.X='x'", "mine.x=1")
    annotations = [word for each in wanted for word in ("--annotation", each)]
    podman().run("build", "--format", "oci", *annotations, "--tag", image, str(tmp_path))
    try:
        arn = engine.launch(engine.register(real(image=image)))
        engine.wait(arn, "RUNNING")
        files = podman().run("inspect", "--format", "{{.OCIConfigPath}}", *containers_of(arn)).split()
        told = {key for file in files for key in json.loads(Path(file).read_text())["annotations"]}
        engine.stop(arn)
    finally:
        podman().run("rmi", "--force", image)
    assert "mine.x" in told
    assert not [key for key in told if key.startswith(("run.oci.", "org.systemd."))]


@pytest.mark.needs("podman's process limits")
def test_a_container_has_as_many_processes_as_a_task_may(standing: ExecTask) -> None:
    limits = podman().run("inspect", "--format", "{{.HostConfig.PidsLimit}}", *containers_of(standing.arn)).split()
    assert str(most_processes()) in limits


def test_no_health_check_of_an_image_is_run_by_this_machine(standing: ExecTask) -> None:
    checks = podman().run("inspect", "--format", "{{json .Config.Healthcheck}}", *containers_of(standing.arn))
    assert checks.split().count('{"Test":["NONE"]}') == 1


@pytest.mark.needs("podman's memory limits")
def test_memory_beyond_the_limit_is_told_as_that(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(real(script="exec tail /dev/zero", memory=64)))
    task = engine.wait(arn, "STOPPED")
    assert container_states(task)["main"] == (
        "STOPPED",
        137,
        "OutOfMemoryError: Container killed due to memory usage",
    )


def test_the_definition_reaches_the_container_and_nothing_else(engine: EngineProcess, tmp_path: Path) -> None:
    values = {
        "PLAIN": "a value",
        "LINES": "one\ntwo",
        "PATH": "/bin:/odd",
        "HOME": "/tmp",
        "EMPTY": "",
        "QUOTED": "'\"$x",
        "*": "all of them",
        "FTP_*": "some",
        " FTP_PROXY": "none",
        "#": "no comment",
        "odd=name": "odd",
        "GPGME_DEBUG": f"9:{tmp_path}/written",
    }
    said = output_of(
        engine,
        script='echo "$PLAIN|$LINES|$PATH|$HOME|$EMPTY|$QUOTED"; pwd; id -u; touch /file || echo read-only; ulimit -n;'
        " tr '\\0' '\\n' </proc/1/environ; true",
        environment=[{"name": name, "value": value} for name, value in values.items()],
        workingDirectory="/etc",
        user="nobody",
        readonlyRootFilesystem=True,
        ulimits=[{"name": "nofile", "softLimit": 600, "hardLimit": 700}],
    )
    assert "\n".join(said).startswith("a value|one\ntwo|/bin:/odd|/tmp||'\"$x\n/etc\n65534\n")
    assert "600" in said
    assert "read-only" in said
    assert OF_A_PROXY not in str(said)
    assert {"*=all of them", "FTP_*=some", "#=no comment", f"GPGME_DEBUG=9:{tmp_path}/written"} <= {*said}
    assert not [*tmp_path.iterdir()]


@pytest.mark.usefixtures("standing")
def test_no_value_of_the_environment_stands_in_an_argv() -> None:
    lines = str(command_lines())
    assert "fargate-sandbox" in lines
    assert _SECRET not in lines


def test_containers_share_volumes_the_network_and_its_names(engine: EngineProcess) -> None:
    mount = {"sourceVolume": "shared", "containerPath": "/shared"}
    writer = real(
        "writer",
        "echo 127.0.0.1 mine >> /etc/hosts; echo hello > /shared/file; exec nc -l -p 7000 < /shared/file",
        mountPoints=[mount],
    )
    reader = real(
        "main",
        "until nc mine 7000 > /tmp/got; do sleep 0.05; done; grep $(hostname) /etc/hosts && "
        "{ echo x > /shared/file || cat /tmp/got | grep hello; }",
        mountPoints=[{**mount, "readOnly": True}],
    )
    arn = engine.launch(engine.register(writer, reader, volumes=[{"name": "shared"}]))
    assert container_states(engine.wait(arn, "STOPPED"))["main"][:2] == ("STOPPED", 0)


def test_ports_answer_at_the_tasks_own_address_and_two_tasks_never_clash(
    engine: EngineProcess, standing: ExecTask
) -> None:
    other = engine.launch(engine.register(real(script=_SERVE)))
    engine.wait(other, "RUNNING")
    names = {_fetched(f"http://{engine.address(arn)}:8080/name") for arn in (standing.arn, other)}
    assert len(names) == 2
    engine.stop(other)


def test_health_is_asked_inside(engine: EngineProcess) -> None:
    check = {"command": ["CMD-SHELL", "test -e /tmp/ready"], "interval": 5, "retries": 3}
    slow = real("slow", f"sleep 0.5; touch /tmp/ready; {WAIT}", healthCheck=check)
    after = real(dependsOn=[{"containerName": "slow", "condition": "HEALTHY"}])
    arn = engine.launch(engine.register(slow, after))
    task = engine.wait(arn, "RUNNING")
    assert {item["name"]: item["healthStatus"] for item in task["containers"]}["slow"] == "HEALTHY"
    engine.stop(arn)


def test_an_engine_that_is_killed_leaves_no_container_and_no_process(tmp_path: Path) -> None:
    podman()
    engine = EngineProcess("--runner", "podman", log=tmp_path / "log.jsonl")
    arn = engine.launch(engine.register(real()))
    engine.wait(arn, "RUNNING")
    family = processes_of(engine.process.pid)
    os.kill(engine.process.pid, signal.SIGKILL)
    engine.process.communicate()

    wait_until(lambda: None if containers_of(arn) else True, deadline=20, what="the end of the containers")
    wait_for_end(family)


def _fetched(url: str) -> bytes:
    def probe() -> bytes:
        try:
            with urllib.request.urlopen(url, timeout=5) as answer:
                body: bytes = answer.read()
                return body
        except OSError as error:
            raise NotYet(str(error)) from error

    return wait_until(probe, deadline=10, what=url)


def test_ecs_exec_has_its_agent_in_the_container_and_with_its_rights(standing: ExecTask) -> None:
    peer = standing.connect()
    streams = Streams(peer)
    number = streams.open()
    streams.send(number, b"there and back")
    assert streams.receive(number, 14) == b"there and back"
    peer.close()

    facts = "id -u; pwd; echo $WORD; tty; grep CapEff /proc/self/status"
    peer = standing.run(f"/bin/sh -c '{facts}; unshare -r true; chmod 600 /dev/null 2>&-'")
    peer.wait_for_end()
    user, directory, word, terminal, rights, refusal = peer.output().decode().splitlines()
    assert (user, directory, word, terminal) == ("0", "/run", "ours", "/dev/pts/0")
    assert int(rights.split()[-1], 16) & (1 << 21) == 0  # CAP_SYS_ADMIN
    assert refusal.endswith("Operation not permitted")
    assert Path("/dev/null").stat().st_mode & 0o777 == 0o666  # the terminal is the container's, and so is all it has
