"""``fargate-sandbox sweep``: end what dead processes left, and what is past its time."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.number_within import number_within
from pytest_fargate_sandbox.leaves.printable import printable_line
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.definition_sweep import sweep_definitions
from pytest_fargate_sandbox.records.sweeping import Swept, sweep_expired, sweep_ledgers

if TYPE_CHECKING:
    import argparse

SUMMARY = "stop what processes that died have left, and what is past its time to live; kept tasks are left alone"

_OTHER_SWEEP_SEC = 30.0
_DID = ("stopped", "deregistered")
_OF_A_CLUSTER = ("region", "owner", "definitions", "cluster")
_WOULD = ("would stop", "would deregister")


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--cluster", help="look there for tasks past their time, from whatever machine they came")
    parser.add_argument("--region", help="the cluster's region")
    parser.add_argument("--owner", help="whose tasks; by default those of this AWS identity")
    parser.add_argument(
        "--definitions",
        type=number_within(0.0, 36500.0, "days"),
        metavar="DAYS",
        help="with --cluster: deregister the owner's task definitions too that are older than this, were not used from "
        "this machine for as long, and of which no task lives there",
    )
    parser.add_argument("--dry-run", action="store_true", help="end nothing, and say what would be ended")


def run(arguments: Any) -> int:
    alone = [f"--{name}" for name in _OF_A_CLUSTER if getattr(arguments, name) is not None and not arguments.cluster]
    if alone:
        raise ConfigError(f"{alone[0]} wants --cluster NAME: which cluster is to be looked through?")
    swept = sweep_ledgers(wait_sec=_OTHER_SWEEP_SEC, dry_run=arguments.dry_run)
    definitions: list[str] = []
    if arguments.cluster:
        expired, definitions = _sweep_cluster(arguments)
        swept = Swept(list(dict.fromkeys(swept.stopped + expired.stopped)), swept.left + expired.left)
    stopped, deregistered = _WOULD if arguments.dry_run else _DID
    for arn in swept.stopped:
        print(f"{stopped} {printable_line(arn)}")
    for arn in definitions:
        print(f"{deregistered} {printable_line(arn)}")
    count = len(swept.stopped) + len(definitions)
    if count or not swept.left:
        print(f"{count} {'to sweep' if arguments.dry_run else 'swept'}" if count else "nothing to sweep")
    for sentence in swept.left:
        print(f"fargate-sandbox: {printable_line(sentence)}", file=sys.stderr)
    return 1 if swept.left else 0


def _sweep_cluster(arguments: Any) -> tuple[Swept, list[str]]:
    asked = EcsFargateConfig(cluster=arguments.cluster, region=arguments.region, owner=arguments.owner)
    target = resolve_place(asked)
    whose = (target.aws, target.cfg.cluster, target.owner)
    expired = sweep_expired(*whose, dry_run=arguments.dry_run)
    if arguments.definitions is None:
        return expired, []
    return expired, sweep_definitions(*whose, arguments.definitions, dry_run=arguments.dry_run)
