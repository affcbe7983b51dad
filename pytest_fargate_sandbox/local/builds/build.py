"""One CodeBuild build: what was asked, how far it is, and how BatchGetBuilds tells it."""

from __future__ import annotations

import threading
import uuid
from datetime import datetime, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

_DEFAULT_TIMEOUT_MINUTES = 60


class Build:
    """The state that the work writes and the API reads."""

    def __init__(
        self, project: Mapping[str, Any], request: Mapping[str, Any], account: str, region: str, number: int
    ) -> None:
        self.project = str(project["name"])
        self.stream = str(uuid.uuid4())
        self.id = f"{self.project}:{self.stream}"
        self.log_group = f"/aws/codebuild/{self.project}"
        self.source = str(request.get("sourceLocationOverride") or "")
        self.variables = _variables(project, request)
        self.timeout_minutes = int(request.get("timeoutInMinutesOverride") or _DEFAULT_TIMEOUT_MINUTES)
        self.stop_requested = threading.Event()
        self._request = request
        self._project = project
        self._number = number
        self._arn = f"arn:aws:codebuild:{region}:{account}:build/{self.id}"
        self._status = "IN_PROGRESS"
        self._phases: list[dict[str, Any]] = []
        self._started = _now()
        self._ended: datetime | None = None
        self._lock = threading.RLock()
        self.enter("SUBMITTED")

    def enter(self, phase: str) -> None:
        """The phase before was fine, unless it was said not to be."""
        with self._lock:
            self._leave("SUCCEEDED", "")
            self._phases.append({"phaseType": phase, "startTime": _now()})

    def fail_phase(self, status: str, message: str) -> None:
        with self._lock:
            self._leave(status, message)

    def finish(self, status: str) -> None:
        with self._lock:
            self.enter("COMPLETED")
            self._status = status
            self._ended = _now()

    def request_stop(self) -> None:
        self.stop_requested.set()

    @property
    def is_over(self) -> bool:
        return self._status != "IN_PROGRESS"

    def describe(self) -> dict[str, Any]:
        with self._lock:
            return self._describe()

    def _leave(self, status: str, message: str) -> None:
        if not self._phases or "phaseStatus" in self._phases[-1]:
            return
        phase, ended = self._phases[-1], _now()
        phase.update(phaseStatus=status, endTime=ended)
        phase["durationInSeconds"] = int((ended - phase["startTime"]).total_seconds())
        if message:
            phase["contexts"] = [{"statusCode": "COMMAND_EXECUTION_ERROR", "message": message}]

    def _describe(self) -> dict[str, Any]:
        described = {
            "id": self.id,
            "arn": self._arn,
            "buildNumber": self._number,
            "startTime": self._started,
            "currentPhase": self._phases[-1]["phaseType"],
            "buildStatus": self._status,
            "buildComplete": self.is_over,
            "projectName": self.project,
            "phases": [dict(phase) for phase in self._phases],
            "source": {
                "type": self._request.get("sourceTypeOverride") or "NO_SOURCE",
                "location": self.source,
                "buildspec": self._request.get("buildspecOverride") or "",
            },
            "environment": {
                **self._project["environment"],
                "environmentVariables": [
                    {"name": name, "value": value, "type": "PLAINTEXT"} for name, value in self.variables.items()
                ],
            },
            "serviceRole": self._project["serviceRole"],
            "logs": {"groupName": self.log_group, "streamName": self.stream},
            "timeoutInMinutes": self.timeout_minutes,
        }
        return described if self._ended is None else {**described, "endTime": self._ended}


def _variables(project: Mapping[str, Any], request: Mapping[str, Any]) -> dict[str, str]:
    given = [
        *(project["environment"].get("environmentVariables") or ()),
        *(request.get("environmentVariablesOverride") or ()),
    ]
    return {item["name"]: item.get("value", "") for item in given}


def _now() -> datetime:
    return datetime.now(timezone.utc)
