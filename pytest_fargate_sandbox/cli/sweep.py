"""``fargate-sandbox sweep``: end what dead processes left, and what is past its time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.sweeping import Swept, sweep_expired, sweep_ledgers

if TYPE_CHECKING:
    import argparse

SUMMARY = "stop what processes that died have left, and what is past its time to live; kept tasks are left alone"

_OTHER_SWEEP_SEC = 30.0


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", help="look there for tasks past their time, from whatever machine they came")
    parser.add_argument("--region", help="the cluster's region")
    parser.add_argument("--owner", help="whose tasks; by default those of this AWS identity")


def run(arguments: Any) -> int:
    swept = sweep_ledgers(wait_sec=_OTHER_SWEEP_SEC)
    if arguments.cluster:
        asked = EcsFargateConfig(cluster=arguments.cluster, region=arguments.region, owner=arguments.owner)
        target = resolve_place(asked)
        expired = sweep_expired(target.aws, target.cfg.cluster, target.owner)
        swept = Swept(swept.stopped + expired.stopped, swept.left + expired.left)
    for arn in swept.stopped:
        print(f"stopped {arn}")
    if swept.stopped or not swept.left:
        print(f"{len(swept.stopped)} swept" if swept.stopped else "nothing to sweep")
    for sentence in swept.left:
        print(f"fargate-sandbox: {sentence}", file=sys.stderr)
    return 1 if swept.left else 0
