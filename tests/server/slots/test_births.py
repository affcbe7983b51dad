"""Commands of tenants are begun by a process of its own, which may end."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.leaves.waiting import wait_until

if TYPE_CHECKING:
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient

pytestmark = pytest.mark.root


def birther(machine: ExecClient) -> str:
    """The one that is there now."""
    return machine.exec("grep -l 'FOR_CHIL[D]' /proc/[0-9]*/cmdline").stdout.split("/")[2]


def test_a_server_that_has_a_thousand_files_open_begins_them(
    in_podman: ExecClient, tenants: tuple[ExecClient, ExecClient]
) -> None:
    assert int(in_podman.exec("ls /proc/1/fd | wc -l").stdout) > 1024
    assert tenants[0].exec("echo begun").stdout == "begun\n"
    assert tenants[0].exec(["/no/such/program"]).return_code == 127


def test_who_begins_them_is_replaced_when_it_has_ended(
    in_podman: ExecClient, tenants: tuple[ExecClient, ExecClient]
) -> None:
    tenants[0].exec("true")
    pid = birther(in_podman)
    in_podman.exec(f"kill -9 {pid}").check()
    wait_until(lambda: not in_podman.exec(f"kill -0 {pid}").ok or None, deadline=30, what="its end")
    assert tenants[0].exec("echo again").stdout == "again\n"
    assert birther(in_podman) != pid


def test_where_it_ends_in_the_middle_that_is_told_and_nothing_is_begun_twice(
    in_podman: ExecClient, tenants: tuple[ExecClient, ExecClient]
) -> None:
    tenants[0].exec("true")
    pid = birther(in_podman)
    in_podman.spawn(f"kill -STOP {pid}; echo >/tmp/stopped; sleep 1; kill -9 {pid}")
    wait_until(lambda: in_podman.exec("cat /tmp/stopped").ok or None, deadline=30, what="it stands still")
    with pytest.raises(SandboxError, match="what begins the commands of slots has ended"):
        tenants[0].exec("echo lost")
    assert tenants[0].exec("echo well").stdout == "well\n"
