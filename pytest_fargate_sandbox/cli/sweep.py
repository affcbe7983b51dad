"""``fargate-sandbox sweep``: end what dead processes left, and what is past its time."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.sweeping import sweep_expired, sweep_ledgers

if TYPE_CHECKING:
    import argparse

SUMMARY = "stop what processes that died have left, and what is past its time to live; kept tasks are left alone"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", help="look there for tasks past their time, from whatever machine they came")
    parser.add_argument("--region", help="the cluster's region")
    parser.add_argument("--owner", help="whose tasks; by default those of this AWS identity")


def run(arguments: Any) -> int:
    stopped = sweep_ledgers()
    if arguments.cluster:
        asked = EcsFargateConfig(cluster=arguments.cluster, region=arguments.region, owner=arguments.owner)
        target = resolve_place(asked)
        stopped += sweep_expired(target.aws, target.cfg.cluster, target.owner)
    for arn in stopped:
        print(f"stopped {arn}")
    print(f"{len(stopped)} swept" if stopped else "nothing to sweep")
    return 0
