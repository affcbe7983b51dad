"""What ends sessions and their connections, and what keeps an agent from being there."""

from __future__ import annotations

import json
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError
from websockets.exceptions import ConnectionClosed, InvalidStatus

from pytest_fargate_sandbox.leaves.session_message import PayloadType
from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.local.engine_process import EngineProcess, container
from tests.local.ssm.exec_task import TASK_ROLE, ExecTask, launch, wait_for_agent
from tests.local.ssm.session_peer import SessionPeer, Streams, elapsed

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

IDLE_SEC, RECONNECT_SEC = 2.5, 0.7


def error_of(task: ExecTask, operation: str, **parameters: Any) -> str:
    with pytest.raises(ClientError) as refusal:
        getattr(task.engine.client("ssm"), operation)(**parameters)
    code: str = refusal.value.response["Error"]["Code"]
    return code


def resume(task: ExecTask, peer: SessionPeer) -> dict[str, str]:
    answer: dict[str, str] = task.engine.client("ssm").resume_session(SessionId=peer.session_id)
    return answer


def come_back(task: ExecTask, peer: SessionPeer) -> None:
    """As a client does whose connection was lost: with another token, the same numbers, and all that nobody has."""
    opened = resume(task, peer)
    peer.open(opened["StreamUrl"], opened["TokenValue"])
    peer.send_again()


def test_who_comes_back_goes_on_where_he_was(task: ExecTask) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    for word in (b"first", b"again"):
        streams.send(number, word)
        assert streams.receive(number, 5) == word
        peer.cut()
        come_back(task, peer)
    streams.send(number, b"third")
    assert streams.receive(number, 5) == b"third"
    peer.close()


def test_what_the_agent_has_to_say_waits_for_the_client(task: ExecTask) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    streams.send(number, bytes(200_000))
    streams.receive(number, 10_000)
    peer.close()
    come_back(task, peer)
    assert streams.receive(number, 190_000) == bytes(190_000)
    peer.close()


def test_a_token_opens_one_connection(task: ExecTask) -> None:
    opened = task.start()
    peer = SessionPeer(opened)
    peer.shake_hands()
    for token in (opened["TokenValue"], "made up"):
        stranger = SessionPeer({**opened, "TokenValue": token})
        stranger.wait(lambda: stranger.closed, "refusal")  # noqa: B023
        assert stranger.closed.rcvd.code == 1008
    former, latter = resume(task, peer), resume(task, peer)
    stranger = SessionPeer({**opened, **former})
    stranger.wait(lambda: stranger.closed, "refusal of the token before the last")
    peer.open(latter["StreamUrl"], latter["TokenValue"])
    streams = Streams(peer)
    number = streams.open()
    streams.send(number, b"still")
    assert streams.receive(number, 5) == b"still"
    peer.close()


def test_a_session_that_was_terminated_has_no_token_any_more(task: ExecTask) -> None:
    peer = task.connect()
    ssm = task.engine.client("ssm")
    assert ssm.terminate_session(SessionId=peer.session_id)["SessionId"] == peer.session_id
    assert peer.wait_for_end() == ""
    assert "TokenValue" not in resume(task, peer)
    ssm.terminate_session(SessionId=peer.session_id)
    for operation in ("resume_session", "terminate_session"):
        assert error_of(task, operation, SessionId="local-0") == "DoesNotExistException"


def test_connections_are_cut_in_turn_and_no_byte_is_lost(task: ExecTask, faults: Callable[..., None]) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    lines = [b"%07d\n" % line for line in range(5_000)]
    faults(ssm_cut=0.2)
    for start in range(0, len(lines), 100):
        with suppress(ConnectionClosed):  # what was to be sent stands in peer.sent
            streams.send(number, b"".join(lines[start : start + 100]))
        if peer.closed:
            come_back(task, peer)
        time.sleep(0.02)

    def probe() -> set[bytes]:
        if peer.closed:
            come_back(task, peer)
        with suppress(ConnectionClosed):
            peer.send_again()
        # Where it was the agent's connection that was cut, it may have taken a message twice.
        missing = set(lines) - set(streams.so_far(number).splitlines(keepends=True))
        if missing or peer.closed:
            raise NotYet(f"{len(missing)} lines")
        return missing

    wait_until(probe, deadline=20, what="all that was sent")
    faults(ssm_cut=0)
    assert peer.connections > 2
    peer.close()


def test_start_session_can_be_denied(task: ExecTask, faults: Callable[..., None]) -> None:
    faults(ssm_denied=1)
    asked = {"Target": task.target, "DocumentName": "AWS-StartPortForwardingSession"}
    assert error_of(task, "start_session", **asked) == "AccessDeniedException"
    task.connect().close()


def test_start_session_refuses_what_cannot_be(task: ExecTask) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"Target": "ecs:local_0_0"}, "TargetNotConnected"),
        ({"Target": "i-0123456789abcdef0"}, "TargetNotConnected"),
        ({"DocumentName": "AWS-RunShellScript"}, "InvalidDocument"),
        ({"Parameters": {"portNumber": ["0"]}}, "InvalidParameters"),
        ({"Parameters": {"portNumber": ["65536"]}}, "InvalidParameters"),
        ({"Parameters": {"host": ["10.0.0.1"]}}, "InvalidParameters"),
        ({"DocumentName": "AWS-StartInteractiveCommand"}, "InvalidParameters"),
    ]
    for fields, code in cases:
        asked = {"Target": task.target, "DocumentName": "AWS-StartPortForwardingSession", **fields}
        assert error_of(task, "start_session", **asked) == code


def test_what_is_slow_takes_its_time_both_ways(task: ExecTask, faults: Callable[..., None]) -> None:
    peer = task.connect()
    streams = Streams(peer)
    number = streams.open()
    faults(ssm_slow=0.1)
    began = time.monotonic()
    streams.send(number, b"hello")
    assert streams.receive(number, 5) == b"hello"
    assert elapsed(began) >= 0.2
    peer.close()


@pytest.fixture(scope="module")
def hasty() -> Iterator[EngineProcess]:
    """Connections grow old here, sessions are idle soon, and agents are late."""
    times = ["--session-idle", str(IDLE_SEC), "--session-reconnect", str(RECONNECT_SEC), "--agent-delay", "1.5-2"]
    engine = EngineProcess("--runner", "namespaces", *times)
    yield engine
    assert engine.close() == 0


def test_a_target_is_not_connected_before_its_agent_is_there(hasty: EngineProcess) -> None:
    arn = hasty.launch(hasty.register(container(), taskRoleArn=TASK_ROLE), enableExecuteCommand=True)
    hasty.wait(arn, "RUNNING")
    task = ExecTask(hasty, arn, wait_for_agent(hasty, arn, "PENDING"))
    asked = {"Target": task.target, "DocumentName": "AWS-StartPortForwardingSession"}
    assert error_of(task, "start_session", **asked) == "TargetNotConnected"
    ssm = hasty.client("ssm")
    assert ssm.get_connection_status(Target=task.target)["Status"] == "notconnected"
    with pytest.raises(ClientError, match="the execute command agent isn't running"):
        task.run("true")
    assert wait_for_agent(hasty, arn) == task.target
    assert ssm.get_connection_status(Target=task.target)["Status"] == "connected"
    peer = task.run("sleep 100")
    hasty.stop(arn)
    assert peer.wait_for_end() == ""
    (agent,) = hasty.describe(arn)["containers"][0]["managedAgents"]
    assert (agent["lastStatus"], agent["reason"]) == ("STOPPED", "Received Container Exit event")


def test_old_connections_are_closed_and_a_session_that_is_idle_ends(hasty: EngineProcess) -> None:
    task = launch(hasty)
    began = time.monotonic()
    peer = task.run("cat")
    peer.wait(lambda: peer.closed, "the polite close")
    assert elapsed(began) > RECONNECT_SEC
    assert (peer.closed.rcvd.code, peer.closed.rcvd.reason) == (1000, "Bye")

    def probe() -> bool:
        if peer.others:
            assert "idle" in peer.wait_for_end()
            return True
        if peer.closed:
            opened = resume(task, peer)
            if "TokenValue" not in opened:  # it has ended between two connections
                return True
            try:
                peer.open(opened["StreamUrl"], opened["TokenValue"])
            except (InvalidStatus, ConnectionClosed):  # or after its token was handed out
                return True
        raise NotYet("it is not idle for long enough")

    wait_until(probe, deadline=20, what="the end of the session", longest_pause=0.1)
    assert elapsed(began) > IDLE_SEC
    assert peer.connections > 2
    assert "TokenValue" not in resume(task, peer)
    hasty.stop(task.arn)


def test_who_kills_all_processes_of_a_container_kills_its_agent_and_nobody_is_told(
    engine: EngineProcess,
) -> None:
    task = launch(engine, script="trap 'exit 143' TERM; while :; do sleep 100 & wait; done")
    peer = task.run("sleep 100")
    task.run("""/bin/sh -c 'kill -9 -1'""")

    def probe() -> str:
        try:
            task.start()
        except ClientError as error:
            code: str = error.response["Error"]["Code"]
            return code
        raise NotYet("connected")

    assert wait_until(probe, deadline=10, what="the end of the agent") == "TargetNotConnected"
    with pytest.raises(ClientError, match="TargetNotConnectedException"):
        task.run("true")
    assert engine.describe(task.arn)["containers"][0]["managedAgents"][0]["lastStatus"] == "RUNNING"
    assert engine.describe(task.arn)["lastStatus"] == "RUNNING"
    sequence = peer.send(PayloadType.DATA, b"anybody?")
    time.sleep(0.3)
    assert sequence not in peer.acknowledged
    assert peer.closed is None
    engine.stop(task.arn)


def test_an_agent_that_finds_other_keys_runs_and_is_not_connected(engine: EngineProcess) -> None:
    task = launch(engine, environment=[{"name": "AWS_ACCESS_KEY_ID", "value": "AKIA"}])
    asked = {"Target": task.target, "DocumentName": "AWS-StartPortForwardingSession"}
    assert error_of(task, "start_session", **asked) == "TargetNotConnected"
    engine.stop(task.arn)


def test_an_agent_whose_role_lacks_an_action_runs_and_is_not_connected(engine: EngineProcess) -> None:
    iam = engine.client("iam")
    trust = {"Effect": "Allow", "Principal": {"Service": "ecs-tasks.amazonaws.com"}, "Action": "sts:AssumeRole"}
    role = iam.create_role(RoleName="exec", AssumeRolePolicyDocument=_policy(trust))["Role"]["Arn"]
    channels = ["CreateControlChannel", "CreateDataChannel", "OpenControlChannel", "OpenDataChannel"]
    definition = engine.register(container(), taskRoleArn=role)
    for allowed, status in ((channels[:3], "notconnected"), (channels, "connected")):
        actions = [f"ssmmessages:{channel}" for channel in allowed]
        statement = {"Effect": "Allow", "Action": actions, "Resource": "*"}
        iam.put_role_policy(RoleName="exec", PolicyName="exec", PolicyDocument=_policy(statement))
        arn = engine.launch(definition, enableExecuteCommand=True)
        target = wait_for_agent(engine, arn)
        assert engine.client("ssm").get_connection_status(Target=target)["Status"] == status
        engine.stop(arn)
    iam.delete_role_policy(RoleName="exec", PolicyName="exec")
    iam.delete_role(RoleName="exec")


def _policy(statement: dict[str, Any]) -> str:
    return json.dumps({"Version": "2012-10-17", "Statement": [statement]})


def test_a_root_that_cannot_be_written_keeps_the_agent_away_but_for_its_two_volumes(engine: EngineProcess) -> None:
    volumes = {"lib": "/var/lib/amazon/ssm", "log": "/var/log/amazon/ssm"}
    mounts = [{"sourceVolume": name, "containerPath": path} for name, path in volumes.items()]
    containers = [
        container("bare", readonlyRootFilesystem=True, mountPoints=mounts[:1]),
        container("main", readonlyRootFilesystem=True, mountPoints=mounts),
    ]
    named = [{"name": name} for name in volumes]
    definition = engine.register(*containers, taskRoleArn=TASK_ROLE, volumes=named)
    arn = engine.launch(definition, enableExecuteCommand=True)
    wait_for_agent(engine, arn, "STOPPED", container="bare")
    (bare,) = [each for each in engine.describe(arn)["containers"] if each["name"] == "bare"]
    assert "cannot write below /var/log/amazon/ssm" in bare["managedAgents"][0]["reason"]
    wait_for_agent(engine, arn, "RUNNING", container="main")
    engine.stop(arn)
