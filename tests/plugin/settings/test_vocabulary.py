"""What is advised about a configuration says where somebody who has pytest can follow it."""

from __future__ import annotations

import pytest

from pytest_fargate_sandbox.plugin.telling.reports import for_pytest


@pytest.mark.parametrize(
    ("advice", "told"),
    [
        ("raise `max_task_lifetime_sec`", "raise `ttl` (of the marker, or --fargate-ttl)"),
        ("give the task more `memory`", "give the task more `memory` (of the marker, or --fargate-memory)"),
        ("check `subnets` and `execution_role_arn`", "check `--fargate-subnets` and `--fargate-execution-role`"),
        ("set `ssh_sidecar.exec_server_port`", 'set `mode="exec"` (of the marker, or --fargate-sidecar-mode)'),
        ("set `log_group` to see it", "set `log_group` in [tool.pytest_fargate_sandbox] to see it"),
        ("set image_template, or environment_dir", "set image, or environment"),
        ("shorten extra_env", "shorten env"),
        ("or have it pulled (--runner auto)", "or have it pulled (--fargate-runner=auto)"),
        ("map it (--image a:1=DIR)", "map it (FARGATE_ENGINE_OPTIONS='--image a:1=DIR')"),
        ("`aws sso login`; `local` needs no account", "`aws sso login`; `local` needs no account"),
    ],
)
def test_a_field_is_told_as_the_marker_the_option_or_the_table_that_sets_it(advice: str, told: str) -> None:
    assert for_pytest(advice) == told
    assert for_pytest(told) == told
