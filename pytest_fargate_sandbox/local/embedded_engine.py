"""The embedded Fargate as one object: listeners, control plane, runner, and how all of it ends."""

from __future__ import annotations

import os
import threading
import time
from functools import partial
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.names import LOCAL_CLUSTER, TAG_KEPT, VERSION
from pytest_fargate_sandbox.leaves.process_identity import this_process
from pytest_fargate_sandbox.local.call_journal import CallJournal
from pytest_fargate_sandbox.local.ecs.account_limits import AccountLimits
from pytest_fargate_sandbox.local.ecs.ecs_backend import FARGATE_PROVIDERS
from pytest_fargate_sandbox.local.ecs.ecs_responses import FargateService
from pytest_fargate_sandbox.local.ecs.task_life import EngineParts
from pytest_fargate_sandbox.local.ecs.vpc import default_network, make_public_subnet
from pytest_fargate_sandbox.local.engine_api import Api
from pytest_fargate_sandbox.local.engine_credentials import ACCOUNT_ID, REGION, EngineCredentials
from pytest_fargate_sandbox.local.faults import Faults
from pytest_fargate_sandbox.local.http_server import HttpServer
from pytest_fargate_sandbox.local.issued_keys import IssuedKeys, hand_out_from_sts
from pytest_fargate_sandbox.local.moto_services import MotoServices, backend, replace_backend
from pytest_fargate_sandbox.local.runners.network.way_out import no_way_out
from pytest_fargate_sandbox.local.ssm.session_manager import SessionManager
from pytest_fargate_sandbox.local.task_gate import Gate

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.builds.codebuild_service import ImageBuildBackend
    from pytest_fargate_sandbox.local.ecs.engine_task import EngineTask
    from pytest_fargate_sandbox.local.engine_options import EngineOptions
    from pytest_fargate_sandbox.local.ports_and_runner import PortsAndRunner

EXECUTION_ROLE_ARN = f"arn:aws:iam::{ACCOUNT_ID}:role/ecsTaskExecutionRole"
_STOP_PATIENCE_SEC = 3.0
_AT_GATE = 1024
"""Connections from inside all tasks. Each task has a bound of its own, in ``runners/network``."""
_STRANGERS = 512
"""Connections that have proven nothing yet. Other users of the machine may open as many as they like."""


class Engine:
    """Serves from the moment it is made until ``close()``."""

    def __init__(self, options: EngineOptions, foundation: PortsAndRunner) -> None:
        self.credentials = EngineCredentials()
        self._journal = CallJournal(options.log)
        self.port, self._runner = foundation.port, foundation.runner
        faults = Faults(options.faults)
        self._sessions = SessionManager(self.port, faults, options.sessions)
        self._surroundings = EngineParts(
            runner=self._runner,
            sessions=self._sessions,
            faults=faults,
            limits=AccountLimits(options.vcpus),
            journal=self._journal,
            gate_port=self.port,
            launch_delay=options.launch_delay,
            agent_delay=options.agent_delay,
            real_health=options.real_health,
        )
        replace_backend("ecs", self._make_backend)
        self._ecs: FargateService = backend("ecs")
        self._subnets, self._security_groups = default_network()
        self._no_way_out = no_way_out()
        self._public_subnets = [] if self._no_way_out else [make_public_subnet()]
        self._builds: ImageBuildBackend | None = None
        keys = IssuedKeys(self.credentials)
        services = MotoServices(
            {
                "codebuild": self._install_codebuild,
                "ssm": self._install_sessions,
                "sts": lambda: hand_out_from_sts(keys),
            }
        )
        gate = Gate(keys, services, self._journal)
        api = Api(services, self._surroundings, self.credentials, None if options.open else keys, self._ecs.all_tasks)
        on_error = partial(self._journal.error, "http")
        self._servers = [
            # Sandboxed code speaks here: whatever it opens and forgets must not eat the engine.
            HttpServer(foundation.gate_listener, gate, limit=_AT_GATE, patience_sec=30.0, on_error=on_error),
            HttpServer(foundation.listener, api, strangers=_STRANGERS, on_error=on_error),
        ]
        for server in self._servers:
            server.start()
        self._journal.engine("ready", pid=os.getpid(), port=self.port, runner=self._runner.name)

    def _make_backend(self, region: str, account_id: str) -> FargateService:
        made = FargateService(region, account_id, self._surroundings)
        if region == REGION:
            for name in (LOCAL_CLUSTER, "default"):
                made.create_cluster(name, capacity_providers=list(FARGATE_PROVIDERS))
        return made

    def _install_codebuild(self) -> None:
        # Late: most runs build nothing, and this takes as long to import as a task takes to start.
        from pytest_fargate_sandbox.local.builds.codebuild_service import ImageBuildBackend

        replace_backend("codebuild", lambda region, account_id: ImageBuildBackend(region, account_id, self._runner))
        self._builds = backend("codebuild")

    def _install_sessions(self) -> None:
        from pytest_fargate_sandbox.local.ssm.ssm_responses import SessionsBackend

        replace_backend("ssm", lambda region, account_id: SessionsBackend(region, account_id, self._sessions))

    def facts(self) -> dict[str, Any]:
        """What a client needs to use the engine."""
        return {
            "endpoint_url": f"http://127.0.0.1:{self.port}",
            **this_process(),
            "region": REGION,
            "access_key_id": self.credentials.access_key_id,
            "secret_access_key": self.credentials.secret_access_key,
            "subnets": self._subnets,
            "public_subnets": self._public_subnets,
            "no_way_out": self._no_way_out or "",
            "security_groups": self._security_groups,
            "execution_role_arn": EXECUTION_ROLE_ARN,
            "runner": self._runner.name,
            "limited": self._surroundings.limits.are_in_force,
            "version": VERSION,
        }

    def kept_tasks(self) -> list[EngineTask]:
        return [task for task in self._ecs.all_tasks() if not task.is_stopped and task.tag(TAG_KEPT) == "true"]

    def stop_tasks_but(self, kept: list[EngineTask]) -> None:
        """End every other task, and wait a little for each to do so in good order."""
        ending = [task for task in self._ecs.all_tasks() if not task.is_stopped and task not in kept]
        for task in ending:
            task.request_stop("UserInitiated", "The engine is ending.")
        deadline = time.monotonic() + _STOP_PATIENCE_SEC
        for task in ending:
            task.wait_until_stopped(max(0.0, deadline - time.monotonic()))

    def close(self) -> None:
        """End all tasks, what the runner holds, and the listeners."""
        self.stop_tasks_but([])
        self._sessions.close()
        if self._builds is not None:
            self._builds.close()
        self._runner.close()
        for server in self._servers:
            server.close()
        left = [task.task_arn for task in self._ecs.all_tasks() if not task.is_stopped]
        limits = self._surroundings.limits.told()
        self._journal.engine("ended", tasks_cut_off=left, threads=threading.active_count(), limits=limits)
        self._journal.close()
