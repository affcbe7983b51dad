from __future__ import annotations

import time
from typing import TYPE_CHECKING

import pytest
from botocore.exceptions import ClientError

from pytest_fargate_sandbox.leaves.session_message import SESSION_STATE, Flag, PayloadType, flag_payload
from tests.local.engine_process import container
from tests.local.ssm.conftest import wait_a_moment
from tests.local.ssm.session_peer import SessionPeer, elapsed

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess
    from tests.local.ssm.exec_task import ExecTask


def test_a_command_has_a_terminal_of_its_own_and_is_root_in_the_container(task: ExecTask) -> None:
    began = time.monotonic()
    peer = task.run("""/bin/sh -c 'tty; id -u; echo $TERM; hostname; test -e /proc/1/root/app && echo odd; exit 3'""")
    assert peer.wait_for_end() == ""
    assert elapsed(began) >= 1.0  # before which the agent reads nothing
    host_name = task.arn.rpartition("/")[2]
    assert peer.output().decode() == f"/dev/pts/0\r\n0\r\nxterm-256color\r\n{host_name}\r\n"
    assert peer.messages[0].payload_type == PayloadType.DATA  # without a key there is no handshake


def test_what_is_typed_is_echoed_and_the_size_is_what_the_client_says(task: ExecTask) -> None:
    peer = task.run("/bin/sh")
    assert peer.wait_for_output(b"# ") == b"# "
    for typed, answer in ((b"stty size\n", b"0 0\r\n"), (b"echo $((6*7))\n", b"42\r\n")):
        peer.send(PayloadType.DATA, typed)
        peer.wait_for_output(typed.replace(b"\n", b"\r\n") + answer + b"# ")
    peer.send(PayloadType.SIZE, b'{"cols":132,"rows":43}')
    peer.send(PayloadType.SIZE, b'{"cols":"wide"}')
    peer.send(PayloadType.DATA, b"stty size\n")
    peer.wait_for_output(b"43 132\r\n")
    peer.send(PayloadType.DATA, b"exit\n")
    assert peer.wait_for_end() == ""
    assert SESSION_STATE not in [message.type for message in peer.others]  # which is between agent and service


def test_what_cannot_be_executed_is_told_in_the_last_words(task: ExecTask) -> None:
    for command, words in (
        ("no-such-program -x", 'exec: "no-such-program": executable file not found in $PATH'),
        ("/etc/passwd", "Permission denied"),
        ("'", "No closing quotation"),
    ):
        assert words in task.run(command).wait_for_end()


def test_words_are_split_as_a_shell_does_and_no_shell_reads_them_nor_is_what_they_left_behind_waited_for(
    task: ExecTask,
) -> None:
    late = task.open("echo long ago")
    peers = [task.run("""echo '$HOME  x' "a b" ; true"""), task.run("""/bin/sh -c 'sleep 60 & echo done'""")]
    for peer in peers:
        assert peer.wait_for_end() == ""
    assert [peer.output() for peer in peers] == [b"$HOME  x a b ; true\r\n", b"done\r\n"]
    time.sleep(0.2)
    peer = SessionPeer(late)  # who comes when the command has ended hears all it had to say
    assert peer.wait_for_end() == ""
    assert peer.output() == b"long ago\r\n"


def test_a_flag_ends_a_session_and_hangs_up_on_its_program(task: ExecTask) -> None:
    peer = task.run("sleep 4321")
    wait_a_moment()
    peer.send(PayloadType.FLAG, flag_payload(Flag.TERMINATE_SESSION))
    assert peer.wait_for_end() == ""
    peer = task.run("/bin/sh -c 'sleep 0.2; grep -l ^sleep.4321 /proc/[0-9]*/cmdline; true'")
    peer.wait_for_end()
    assert peer.output() == b""


def test_execute_command_refuses_what_cannot_be(task: ExecTask) -> None:
    asked = {"cluster": "local", "task": task.arn, "command": "true", "interactive": True}
    for fields, message in (
        ({"interactive": False}, "Interactive is the only mode supported currently"),
        ({"task": "f" * 32}, "The referenced task was not found"),
        ({"container": "other"}, "other is not part of the task"),
    ):
        with pytest.raises(ClientError, match=message) as refusal:
            task.engine.ecs.execute_command(**{**asked, **fields})
        assert refusal.value.response["Error"]["Code"] == "InvalidParameterException"


def test_a_task_that_was_run_without_it_has_no_agent(engine: EngineProcess) -> None:
    arn = engine.launch(engine.register(container()))
    described = engine.wait(arn, "RUNNING")
    assert "managedAgents" not in described["containers"][0]
    with pytest.raises(ClientError, match="execute command was not enabled when the task was run"):
        engine.ecs.execute_command(cluster="local", task=arn, command="true", interactive=True)
    engine.stop(arn)
