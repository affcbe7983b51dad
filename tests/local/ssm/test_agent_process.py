"""The agent as its container sees it: a process of root's there, which root gets nothing out of."""

from __future__ import annotations

import shlex
from typing import TYPE_CHECKING

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
