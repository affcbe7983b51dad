"""The local engine as these tests use it: what it was asked, and what it is made to do."""

from __future__ import annotations

import json
import os
import urllib.request
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from pytest_fargate_sandbox.place.local_cluster import local_engine

if TYPE_CHECKING:
    from pytest_fargate_sandbox.place.local_engine import LocalEngine
    from pytest_fargate_sandbox.providers.aws.aws import Aws

POLLING = {"DescribeTasks", "GetLogEvents"}
"""Calls that nobody counts as the cost of a sandbox."""


class EngineOfTests:
    """``FARGATE_ENGINE_DIR``, ``FARGATE_ENGINE_LOG`` and ``FARGATE_ENGINE_OPTIONS`` are set before this is made."""

    def __init__(self) -> None:
        self.directory = Path(os.environ["FARGATE_ENGINE_DIR"])
        self.log = Path(os.environ["FARGATE_ENGINE_LOG"])
        self.options = os.environ["FARGATE_ENGINE_OPTIONS"]

    @property
    def engine(self) -> LocalEngine:
        return local_engine()

    @property
    def aws(self) -> Aws:
        return self.engine.connect()

    def lines(self, kind: str) -> list[dict[str, Any]]:
        written = self.log.read_text() if self.log.exists() else ""  # no call has come yet
        lines = map(json.loads, written.splitlines())
        return [line for line in lines if line["kind"] == kind]

    def count(self) -> Counter[str]:
        """The control-plane calls so far, polling and the reading of logs apart."""
        return Counter(line["operation"] for line in self.lines("call") if line["operation"] not in POLLING)

    def fault(self, **values: float) -> None:
        """Make something fail, as in ``fargate-sandbox engine --fault``."""
        engine = self.engine
        request = urllib.request.Request(
            f"{engine.endpoint_url}/_engine/faults",
            data=json.dumps({name.replace("_", "-"): value for name, value in values.items()}).encode(),
            headers={"Authorization": f"Bearer {engine.credentials.secret_access_key}"},
        )
        urllib.request.urlopen(request, timeout=60).close()

    def task(self, arn: str) -> dict[str, Any]:
        described: dict[str, Any] = self.aws.call(
            "ecs", "DescribeTasks", cluster="local", tasks=[arn], include=["TAGS"]
        )
        task: dict[str, Any] = described["tasks"][0]
        return task

    def alive(self) -> list[str]:
        """The tasks that nobody has asked to stop."""
        arns: list[str] = self.aws.call("ecs", "ListTasks", cluster="local", desiredStatus="RUNNING")["taskArns"]
        return arns

    def wait_until_gone(self, *arns: str, seconds: float = 30.0) -> None:
        def probe() -> bool:
            left = set(arns) & set(self.alive())
            if left:
                raise NotYet(f"alive: {left}")
            return True

        wait_until(probe, deadline=seconds, what=f"the end of {arns}")
