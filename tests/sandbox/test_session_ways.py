"""Sandboxes that the Session Manager is the only way into: what goes through whatever breaks on it, and their end."""

from __future__ import annotations

import contextlib
import hashlib
import os
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, OutsideEndpoint, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError, SandboxLost, StartError, TransportError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError
from pytest_fargate_sandbox.providers.ssm import load_meter, session_carrier, sessions_to_end, ssm_tunnel
from pytest_fargate_sandbox.providers.ssm.session_calls import terminate_session
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_named, mode_of

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

WAYS: dict[str, dict[str, Any]] = {
    "ecs-exec": {"ecs_exec": True},
    "ssm": {"connect_via": "ssm", "ssh_sidecar": SshSidecarConfig(exec_server_port=19542)},
}
FAULTS = ("ssm-double", "ssm-lost-ack", "ssm-cut", "ssm-slow", "ssm-denied", "ssm-end-denied", "exec-denied")
CALL = (
    "import os, socket, sys; s = socket.create_connection(('127.0.0.1', int(os.environ['SERVICE'].split(':')[2])), 20)"
)
CALL += "; s.sendall(b'x' * 100_000); s.shutdown(1); print(len(b''.join(iter(lambda: s.recv(9999), b''))))"


@pytest.fixture(scope="module")
def service() -> Iterator[str]:
    """Says back what it hears, once it has heard the end of it."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve() -> None:
            while True:
                try:
                    connection, _ = listener.accept()
                except OSError:
                    return
                with connection:
                    connection.sendall(b"".join(iter(partial(connection.recv, 9999), b"")))

        thread = threading.Thread(target=serve)
        thread.start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


@pytest.fixture(scope="module", params=WAYS)
def shared(
    request: pytest.FixtureRequest, _engine_of_tests: EngineOfTests, service: str
) -> Iterator[EcsFargateSandbox]:
    cfg = EcsFargateConfig(cluster="local", **WAYS[request.param])
    with EcsFargateSandbox(cfg, task_id=request.param, run_id="ways") as sandbox:
        sandbox.start(outside_endpoints=[OutsideEndpoint(service, "SERVICE")])
        yield sandbox


@pytest.fixture
def faults(engine: EngineOfTests) -> Iterator[Callable[..., None]]:
    yield engine.fault
    engine.fault(**dict.fromkeys(FAULTS, 0))


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.usefixtures("engine")
def test_a_task_that_ends_before_there_is_an_agent_in_it_is_told_at_once(way: str) -> None:
    cfg = EcsFargateConfig(cluster="local", user="nobody-of-that-name", **WAYS[way])
    began = time.monotonic()
    with pytest.raises(StartError, match="unable to find user nobody-of-that-name"):
        EcsFargateSandbox(cfg, task_id="never", run_id="ways").start()
    assert time.monotonic() - began < cfg.startup_timeout_sec / 4


def test_a_service_here_is_reached_from_inside_also_after_another_session(shared: EcsFargateSandbox) -> None:
    assert shared.exec(["python3", "-c", CALL], check=True).stdout == "100000\n"
    shared.reconnect_tunnel()
    assert shared.exec(["python3", "-c", CALL], check=True).stdout == "100000\n"


def test_a_port_inside_is_exposed_here(shared: EcsFargateSandbox) -> None:
    exposed = shared.expose(19542)
    with socket.create_connection((exposed.host, exposed.port), 10) as connection:
        connection.sendall(b"GET /health HTTP/1.1\r\nHost: x\r\n\r\n")
        assert b" 200 " in connection.recv(100)


@pytest.mark.parametrize("shared", ["ssm"], indirect=True)
def test_who_takes_tunnels_beside_a_sidecar_learns_nothing_that_opens_the_server(shared: EcsFargateSandbox) -> None:
    started: Any = shared.running()
    assert started.keyring.token.encode() not in started.connection.tunnel._way._opening.of(0)


def hash_in(sandbox: EcsFargateSandbox, size: int = 150_000) -> bool:
    data = os.urandom(size)
    result = sandbox.exec("sha256sum", stdin=data, timeout_sec=120)
    return result.stdout.split()[:1] == [hashlib.sha256(data).hexdigest()]


@pytest.mark.parametrize(
    "fault",
    [{"ssm_lost_ack": 7}, {"ssm_cut": 0.7, "ssm_double": 3}],
    ids=["lost acknowledgements", "cut and doubled"],
)
def test_every_command_is_exact_whatever_its_way_does(
    shared: EcsFargateSandbox, faults: Callable[..., None], fault: dict[str, float], pytestconfig: pytest.Config
) -> None:
    faults(**fault)
    count = 500 if pytestconfig.getoption("soak") else 3
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(lambda _: hash_in(shared), range(count))) == [True] * count


def test_who_does_not_read_holds_up_no_other(shared: EcsFargateSandbox) -> None:
    with ThreadPoolExecutor(1) as pool:
        sleeper = pool.submit(
            shared.exec, "rm -f /tmp/go; until [ -e /tmp/go ]; do sleep 0.1; done; wc -c", stdin=bytes(1 << 19)
        )
        for _ in range(5):
            assert shared.exec("echo there").stdout == "there\n"
        assert not sleeper.done()
        shared.exec("touch /tmp/go", check=True)
        assert sleeper.result().stdout.strip() == str(1 << 19)


def test_while_much_is_carried_there_are_further_sessions_which_go_again(
    shared: EcsFargateSandbox, faults: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_meter, "_WORTH_BYTES", 100_000)
    monkeypatch.setattr(load_meter, "_SPAN_SEC", 1.0)
    monkeypatch.setattr(load_meter, "_QUIET_SEC", 1.0)
    way: Any = shared.running().connection.tunnel
    way = getattr(way, "_way", way)
    seen, content = {1}, os.urandom(500_000)
    faults(ssm_cut=1.5, ssm_double=9)
    with ThreadPoolExecutor(1) as pool:
        for _ in range(6):  # much for so long as it takes a busy machine to open three sessions
            under_way = pool.submit(shared.write_file, "/tmp/much", content)
            while not under_way.done():
                seen.add(sum(carrier.is_used for carrier in way._connection._carriers))
                time.sleep(0.01)
            under_way.result()
            if max(seen) == 4:
                break
    assert max(seen) == 4
    assert shared.read_file("/tmp/much") == content
    faults(ssm_cut=0, ssm_double=0)
    wait_until(lambda: len(way._connection._carriers) == 1 or None, deadline=20, what="an end of the further sessions")
    assert hash_in(shared)


def test_as_much_is_under_way_from_a_task_as_its_distance_asks_for(
    shared: EcsFargateSandbox, faults: Callable[..., None]
) -> None:
    """So that what comes behind a download waits for little, and from far away it is as fast."""
    tunnel: Any = shared.running().connection.tunnel
    way = getattr(tunnel, "_way", tunnel)

    def seen() -> list[int]:
        shared.exec("true")
        streams = tunnel._connection._transport._channels.values() if tunnel is not way else []
        return [way.window, *(channel.in_window_size for channel in streams)]

    way.reconnect()  # with one session
    wait_until(lambda: all(size < 40_000 for size in seen()) or None, deadline=20, what="a small window")
    faults(ssm_slow=0.05)
    way.reconnect()
    wait_until(lambda: all(90_000 < size < 200_000 for size in seen()) or None, deadline=20, what="a larger one")
    faults(ssm_slow=0)
    way.reconnect()
    assert hash_in(shared)


def test_a_session_that_somebody_ends_is_followed_by_another(shared: EcsFargateSandbox) -> None:
    way: Any = shared.running().connection.tunnel
    way = getattr(way, "_way", way)
    with ThreadPoolExecutor(1) as pool:
        counting = pool.submit(shared.exec, "for i in 1 2 3 4 5 6; do echo $i; sleep 0.3; done")
        time.sleep(0.5)
        shared.aws.call("ssm", "TerminateSession", SessionId=way._connection.id)
        assert counting.result().stdout.split() == list("123456")


def processes_in(sandbox: EcsFargateSandbox) -> int:
    return int(sandbox.exec("ls -d /proc/[0-9]* | wc -l").stdout)


def processes_of_sessions(sandbox: EcsFargateSandbox) -> set[str]:
    return set(sandbox.exec("grep -l ssm-session-wor /proc/[0-9]*/comm").stdout.split())


@pytest.mark.parametrize("shared", ["ecs-exec"], indirect=True)
def test_a_session_that_never_came_up_leaves_no_process_where_that_may_be_asked_and_else_it_is_told_once(
    shared: EcsFargateSandbox,
    faults: Callable[..., None],
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    way: Any = shared.running().connection.tunnel
    before = processes_of_sessions(shared)

    def further() -> int:
        return len(processes_of_sessions(shared) - before)

    def start_two() -> None:
        for number in (7, 8):
            way._carrier(number).close()
        for thread in threading.enumerate():
            if thread.name.startswith("end of session"):
                thread.join(10)

    start_two()
    wait_until(lambda: not further() or None, deadline=10, what="an end of their processes")
    assert not caplog.records
    monkeypatch.setattr(sessions_to_end, "_was_denied", threading.Event())
    faults(ssm_end_denied=2)
    start_two()
    assert [record.message for record in caplog.records if "ssm:TerminateSession" in record.message][1:] == []
    assert "may not end sessions" in caplog.text
    wait_until(lambda: further() == 2 or None, deadline=10, what="the two that stay")


@pytest.mark.parametrize("shared", ["ecs-exec"], indirect=True)
def test_ends_of_sessions_that_are_asked_for_at_once_leave_no_connections(shared: EcsFargateSandbox) -> None:
    def end_one(_: object) -> None:
        with contextlib.suppress(AwsError):
            terminate_session(shared.aws, "nobody-0123456789abcdef0")

    end_one(None)
    before = len(list(Path("/proc/self/fd").iterdir()))
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(end_one, range(8)))
    assert len(list(Path("/proc/self/fd").iterdir())) <= before


@pytest.mark.parametrize("shared", ["ecs-exec"], indirect=True)
def test_where_one_of_several_sessions_is_ended_the_others_leave_no_process(
    shared: EcsFargateSandbox, monkeypatch: pytest.MonkeyPatch
) -> None:
    way: Any = shared.running().connection.tunnel
    way.reconnect()
    with monkeypatch.context() as patch:
        patch.setattr(load_meter, "_WORTH_BYTES", 100_000)
        hash_in(shared)
        carriers = way._connection._carriers
        wait_until(lambda: sum(each.carries for each in carriers) == 4 or None, deadline=20, what="four sessions")
    before = processes_in(shared)
    shared.aws.call("ssm", "TerminateSession", SessionId=carriers[1].id)
    wait_until(lambda: processes_in(shared) <= before - 3 or None, deadline=10, what="an end of all four, and one anew")


def test_the_task_ends_with_its_time_to_live(engine: EngineOfTests) -> None:  # noqa: ARG001
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True, max_task_lifetime_sec=4)
    with EcsFargateSandbox(cfg, task_id="short", run_id="ways") as sandbox:
        sandbox.start()
        with pytest.raises(SandboxLost) as caught:
            sandbox.exec("sleep 30")
        assert caught.value.cause == "expired"


def test_an_agent_that_code_in_the_container_kills_is_named(
    engine: EngineOfTests,  # noqa: ARG001
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True)
    with EcsFargateSandbox(cfg, task_id="killed", run_id="ways") as sandbox:
        sandbox.start()
        monkeypatch.setattr(session_carrier, "_DEAD_SEC", 1.0)
        monkeypatch.setattr(ssm_tunnel, "_AGENT_SECONDS", 1.0)
        sandbox.spawn("sleep 0.3; kill -9 -1")
        tunnel = sandbox.running().connection.tunnel

        def named() -> bool | None:
            try:
                tunnel.dial(19542, 5.0).close()
            except TransportError as error:  # who dials as it is killed hears nothing first
                return "kill -9 -1" in str(error) or None
            return None

        wait_until(named, deadline=30, what="an error that names it")
        assert sandbox.is_running


def test_a_definition_runs_as_it_is_and_its_server_is_brought_through_whatever_the_way_does(
    engine: EngineOfTests, faults: Callable[..., None]
) -> None:
    main = {"name": "main", "image": "host", "entryPoint": ["/bin/sh", "-c"], "command": ["exit 5"]}
    role = "arn:aws:iam::123456789012:role/task"
    named = engine.aws.call(
        "ecs",
        "RegisterTaskDefinition",
        family="as-it-is",
        networkMode="awsvpc",
        requiresCompatibilities=["FARGATE"],
        cpu="256",
        memory="512",
        executionRoleArn=role,
        taskRoleArn=role,
        containerDefinitions=[main],
    )["taskDefinition"]["taskDefinitionArn"]
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True, task_definition=named, definition_as_is=True)
    before = engine.count()
    for fault in ({"ssm_double": 30}, {"ssm_double": 30, "ssm_denied": 50}):
        faults(**fault)
        with EcsFargateSandbox(cfg, task_id="as it is", run_id="ways") as sandbox:
            sandbox.start()
            assert hash_in(sandbox)
            assert engine.task(str(sandbox.task_arn))["taskDefinitionArn"] == named
    assert (engine.count() - before)["RegisterTaskDefinition"] == 0


def test_where_nothing_is_allowed_the_first_refusal_is_told_and_the_task_ended(
    engine: EngineOfTests, faults: Callable[..., None]
) -> None:
    faults(ssm_denied=50, exec_denied=50)
    sandbox = EcsFargateSandbox(EcsFargateConfig(cluster="local", ecs_exec=True), task_id="nothing", run_id="ways")
    with pytest.raises(SandboxError, match="ssm:StartSession"):
        sandbox.start()
    assert "nothing" not in {tag["value"] for arn in engine.alive() for tag in engine.task(arn)["tags"]}


def test_a_python_is_brought_before_the_main_container_begins(engine: EngineOfTests) -> None:
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True, runtime="sidecar", runtime_image="host")
    with EcsFargateSandbox(cfg, task_id="runtime", run_id="ways") as sandbox:
        sandbox.start()
        assert "/run/fargate-sandbox/runtime/" in sandbox.exec("tr '\\0' ' ' </proc/1/cmdline").stdout
        containers = {each["name"]: each for each in engine.task(str(sandbox.task_arn))["containers"]}
        assert containers["fargate-sandbox-runtime"]["exitCode"] == 0
        assert sandbox.is_running


REFUSED: list[tuple[dict[str, Any], str]] = [
    ({"ssh_sidecar": SshSidecarConfig()}, "without a sidecar.*leave that out"),
    ({"ssh_sidecar": SshSidecarConfig(), "container_port": 80}, "agent-server mode has to"),
    ({"extra_env": {"AWS_ACCESS_KEY_ID": "x"}}, "keeps the SSM agent from working"),
    ({"definition_as_is": True}, "no `task_definition` to run"),
    ({"definition_as_is": True, "task_definition": "x", "image_template": "y"}, "image_template: RunTask cannot"),
    ({"definition_as_is": True, "ecs_exec": False, "ssh_sidecar": SshSidecarConfig(exec_server_port=1)}, "no sidecar"),
    ({"definition_as_is": True, "task_definition": "x", "runtime": "sidecar"}, "leave one of them out"),
    ({"platform_version": "1.3.0"}, "1.4.0 or LATEST"),
    ({"cluster": "bench"}, "task_role_arn. is missing"),
]


@pytest.mark.parametrize(("fields", "complaint"), REFUSED, ids=[complaint for _, complaint in REFUSED])
def test_what_can_never_have_a_session_is_refused_before_the_launch(fields: dict[str, Any], complaint: str) -> None:
    cfg = EcsFargateConfig(**{"cluster": "local", "ecs_exec": True, **fields})
    with pytest.raises(ConfigError, match=complaint):
        mode_of(cfg)


def test_a_container_that_no_agent_could_live_in_is_refused_before_the_launch() -> None:
    def main(**fields: Any) -> dict[str, Any]:
        main = {"name": "main", **fields}
        mode_named("ecs-exec").complete(EcsFargateConfig(cluster="local", ecs_exec=True), main, None)
        return main

    with pytest.raises(ConfigError, match="read-only root"):
        main(readonlyRootFilesystem=True)
    with pytest.raises(ConfigError, match="AWS_ACCESS_KEY_ID"):
        main(environment=[{"name": "AWS_ACCESS_KEY_ID", "value": "x"}])
    places = ["/var/lib/amazon/ssm", "/var/log/amazon/ssm"]
    mounts = [{"sourceVolume": f"v{number}", "containerPath": place} for number, place in enumerate(places)]
    assert main(readonlyRootFilesystem=True, mountPoints=mounts)["command"]


def test_where_only_commands_may_be_executed_a_terminal_is_the_way_in(
    engine: EngineOfTests,  # noqa: ARG001
    faults: Callable[..., None],
    caplog: pytest.LogCaptureFixture,
) -> None:
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True)
    faults(ssm_denied=50)
    with EcsFargateSandbox(cfg, task_id="denied", run_id="ways") as sandbox:
        sandbox.start()
        assert "only execute commands" in caplog.text
        assert hash_in(sandbox)
        content = os.urandom(100_000)
        sandbox.write_file("/tmp/file", content)
        assert sandbox.read_file("/tmp/file") == content
        faults(ssm_cut=0.5, ssm_double=3)
        assert all(hash_in(sandbox) for _ in range(2))
