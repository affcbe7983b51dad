"""The agent as its container sees it: a process of root's there, which root gets nothing out of."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING, Any, cast

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.call_journal import CallJournal
from pytest_fargate_sandbox.local.ecs.engine_task import EngineContainer, EngineTask, Placement
from pytest_fargate_sandbox.local.faults import Faults
from pytest_fargate_sandbox.local.runners.runner_contract import ContainerSpec
from pytest_fargate_sandbox.local.ssm.agent_life import AgentLife, ManagedAgent
from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager
from pytest_fargate_sandbox.local.ssm.session_times import SessionTimes
from tests.local.ssm.exec_task import launch

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess
    from tests.local.ssm.exec_task import ExecTask

_LOOK = r"""
for directory in /proc/[0-9]*; do
    read name < $directory/comm
    case $name in ssm-*) ;; *) continue ;; esac
    echo "$name: $(tr -d '\0' < $directory/cmdline)"
    for secret in environ maps mem auxv; do
        cat $directory/$secret 2>/dev/null && echo "read $secret"
    done
    for link in exe cwd root fd/0; do
        readlink $directory/$link && echo "followed $link"
    done
done
echo $(ls /proc/self/fd | wc -l)
"""


def test_root_of_a_container_reads_nothing_of_its_agent_and_inherits_nothing_from_it(task: ExecTask) -> None:
    peer = task.run(f"/bin/sh -c {shlex.quote(_LOOK)}")
    peer.wait_for_end()
    agent = "/managed-agents/execute-command/amazon-ssm-agent"
    *seen, facts = peer.output().decode().split("\r\n")[:-1]
    assert set(seen) == {f"ssm-agent-worke: {agent}", f"ssm-session-wor: {agent}"}
    assert facts == "4"  # besides the terminal, thrice, there is the directory that ls reads


def test_commands_have_the_limits_of_the_containers_own_program(engine: EngineProcess) -> None:
    limited = launch(engine, ulimits=[{"name": "nofile", "softLimit": 123, "hardLimit": 456}], workingDirectory="/srv")
    peer = limited.run("/bin/sh -c 'ulimit -n; ulimit -Hn; pwd; umask'")
    peer.wait_for_end()
    assert peer.output().split() == [b"123", b"456", b"/srv", b"0022"]
    engine.stop(limited.arn)


class _Unready:
    """A runner's task of which nothing works."""

    def start_agent(self, _container: str, _channel: Any) -> None:
        raise ValueError("no such namespace")


def test_an_agent_that_cannot_be_started_is_not_awaited_for_ever_whatever_the_reason() -> None:
    placement = Placement(
        "arn:aws:ecs:eu-west-1:123456789012:cluster/local", "definition", "", "", "", "", 20, "", (), False, {}, "",
        "FARGATE", "", "1.4.0", (), True, "role",
    )  # fmt: skip
    container = EngineContainer({"name": "main", "image": "x"}, "arn", agent=ManagedAgent())
    task = EngineTask("1", "arn", placement, [container], [], CallJournal(None))
    spec = ContainerSpec("main", "x", None, None, {})
    life = AgentLife(SessionManager(1, Faults(), SessionTimes()), task, container, spec)
    life.start_later(cast("Any", _Unready()), (0.0, 0.0))
    agent = container.agent
    assert agent is not None
    wait_until(lambda: agent.last_status == "STOPPED" or None, deadline=30, what="word of an agent that cannot start")
    assert "no such namespace" in agent.reason
