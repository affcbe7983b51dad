"""A machine is made as new, or it is told why it cannot be."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.sandbox.renewing import begin_renewal, check_renewed, note_start
from tests.as_it_stands import nobody_else_changes_the_host

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox

LEAVE = r"""
cd /var && mkdir -p mark/deep && printf x >"/srv/$(printf 'odd\n\377')" && touch /root/mark /tmp/mark /dev/shm/mark
mkfifo /opt/mark; ln -s /etc /mark; ipcmk -M 1 >/dev/null
setpriv --reuid 4321 --clear-groups ipcmk -Q >/dev/null
setpriv --reuid 4321 --clear-groups touch /tmp/mark-of-another
chmod 0 mark
setsid sh -c 'trap "" TERM; while :; do sleep 1234; done' >/dev/null 2>&1 &
"""
FIND = """
ls -A /srv /root /tmp /dev/shm /opt/mark /mark /var/mark 2>/dev/null | grep -a 'mark\\|odd'; pgrep sleep
tail -qn +2 /proc/sysvipc/*
"""


@pytest.mark.needs("pgrep")
def test_what_was_added_goes_and_what_was_changed_is_told(sandbox: Callable[..., EcsFargateSandbox]) -> None:
    machine = sandbox(cpu="1024", memory="2048")
    machine.start()
    with pytest.raises(SandboxError, match="nobody has noted what the container was like"):
        begin_renewal(machine, wait_sec=0)
    with nobody_else_changes_the_host():  # whose files are those of the image
        note_start(machine)
        with pytest.raises(SandboxError, match="is not as new: nobody has begun to make it as new"):
            check_renewed(machine)
        machine.exec(LEAVE, check=True)
        assert machine.exec(FIND).stdout != ""
        begin_renewal(machine, wait_sec=0)
        check_renewed(machine)
    assert machine.exec(FIND).stdout == ""
    machine.exec("echo >>/etc/passwd; chmod 700 /srv", check=True)
    begin_renewal(machine, wait_sec=0)
    with pytest.raises(SandboxError, match=r"is not as new: .*(/etc/passwd|/srv), .*(/etc/passwd|/srv): changed"):
        check_renewed(machine)
