"""What an account may do, as ``--limits aws`` has it: how often ECS may be called, and how much may run at once.

Who stays below all of it here has room in an account, and what was used of it is told: the fullest that each bucket
was, and the most vCPUs at once. Without limits nothing is refused, and nothing counted.
"""

from __future__ import annotations

import threading
import time
from typing import TYPE_CHECKING, Any, Final, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from pytest_fargate_sandbox.local.ecs.engine_task import EngineTask, Placement

NEW_ACCOUNT_VCPUS: Final = 6.0
"""Of on-demand tasks; of Spot as many again. https://docs.aws.amazon.com/general/latest/gr/ecs-service.html"""

RATE_EXCEEDED: Final = "Rate exceeded"
# Both come in the answer's failures[]: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/api_failures_messages.html
# The texts: https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-event-messages-list.html
_NO_MORE_VCPUS = "You\u2019ve reached the limit on the number of vCPUs you can run concurrently"
_TOO_BIG = "The requested CPU configuration is above your limit"


class Bucket(NamedTuple):
    """Calls that share tokens: so many at once, and so many more with each second."""

    name: str
    burst: int
    per_second: int
    operations: tuple[str, ...] = ()


# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/request-throttling.html
_REQUESTS: Final = (
    Bucket("cluster modify", 20, 1, ("CreateCluster", "DeleteCluster", "PutClusterCapacityProviders", "UpdateCluster",
                                     "UpdateClusterSettings")),
    Bucket("cluster read", 50, 20, ("DescribeClusters", "ListClusters")),
    Bucket("task definition modify", 20, 1, ("DeregisterTaskDefinition", "RegisterTaskDefinition")),
    Bucket("task definition read", 50, 20, ("DescribeTaskDefinition", "ListTaskDefinitions",
                                            "ListTaskDefinitionFamilies")),
    Bucket("task definition deletion", 5, 1, ("DeleteTaskDefinitions",)),
    Bucket("capacity provider modify", 10, 1, ("CreateCapacityProvider", "DeleteCapacityProvider",
                                               "UpdateCapacityProvider")),
    Bucket("capacity provider read", 50, 20, ("DescribeCapacityProviders",)),
    Bucket("tag modify", 20, 10, ("TagResource", "UntagResource")),
    Bucket("tag read", 50, 20, ("ListTagsForResource",)),
    Bucket("setting modify", 10, 1, ("DeleteAccountSetting", "PutAccountSetting", "PutAccountSettingDefault")),
    Bucket("setting read", 50, 20, ("ListAccountSettings",)),
    Bucket("cluster resource modify", 100, 40, ("DeleteAttributes", "DeregisterContainerInstance", "ExecuteCommand",
                                                "PutAttributes", "RunTask", "StartTask", "StopTask",
                                                "UpdateContainerAgent", "UpdateContainerInstancesState")),
    Bucket("cluster resource read", 100, 20, ("DescribeContainerInstances", "DescribeTasks", "ListAttributes",
                                              "ListContainerInstances", "ListTasks")),
    Bucket("service modify", 50, 5, ("CreateService", "DeleteService", "UpdateService")),
    Bucket("service read", 100, 20, ("DescribeServices", "ListServices")),
    Bucket("task protection", 200, 80, ("GetTaskProtection", "UpdateTaskProtection")),
)  # fmt: skip
# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/throttling.html
_RUN_TASK: Final = Bucket("RunTask on Fargate", 20, 20, ("RunTask",))
_LAUNCHES: Final = {False: Bucket("on-demand launches", 100, 20), True: Bucket("Spot launches", 100, 20)}
BUCKETS: Final = (*_REQUESTS, _RUN_TASK, *_LAUNCHES.values())


class _Level:
    """How full a bucket is. Each call takes a token, and one that finds too few takes none and is refused."""

    def __init__(self, bucket: Bucket, now: float) -> None:
        self.bucket = bucket
        self._tokens, self._at = float(bucket.burst), now
        self.used, self.taken, self.refused = 0.0, 0, 0

    def has(self, count: int, now: float) -> bool:
        refilled = self._tokens + (now - self._at) * self.bucket.per_second
        self._tokens, self._at = min(float(self.bucket.burst), refilled), now
        return self._tokens >= count

    def take(self, count: int) -> None:
        self._tokens -= count
        self.taken += count
        self.used = max(self.used, self.bucket.burst - self._tokens)


class AccountLimits:
    """The limits of one account in one region; ``vcpus`` None: none. All methods may be called from any thread."""

    def __init__(self, vcpus: float | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._quota, self._clock = vcpus, clock
        self._lock = threading.Lock()
        self._levels = {} if vcpus is None else {bucket.name: _Level(bucket, clock()) for bucket in BUCKETS}
        self._vcpus = {False: _Vcpus(vcpus), True: _Vcpus(vcpus)}

    @property
    def are_in_force(self) -> bool:
        return self._quota is not None

    def admit(self, operation: str) -> bool:
        """Whether ECS may be called now; if so, the call is counted."""
        return self._take([level for level in self._levels.values() if operation in level.bucket.operations], 1)

    def admit_launches(self, count: int, placement: Placement) -> bool:
        """Whether Fargate may launch so many now; if so, they are counted."""
        name = _LAUNCHES[_is_spot(placement)].name
        return self._take([level for level in self._levels.values() if level.bucket.name == name], count)

    def _take(self, levels: list[_Level], count: int) -> bool:
        with self._lock:
            short = [level for level in levels if not level.has(count, self._clock())]
            for level in short:
                level.refused += 1
            if not short:
                for level in levels:
                    level.take(count)
            return not short

    def why_no_room(self, count: int, placement: Placement, tasks: Iterable[EngineTask]) -> str:
        """What Fargate says where it will not run ``count`` such tasks beside ``tasks``; nothing where it will.

        A task counts until it is STOPPED: AWS does not say when it stops counting, and this is the latest.
        """
        of_its_kind = self._vcpus[_is_spot(placement)]
        alive = [task.placement for task in tasks if not task.is_stopped]
        in_use = sum(_vcpus_of(each) for each in alive if _is_spot(each) == _is_spot(placement))
        return of_its_kind.take(_vcpus_of(placement), count, in_use)

    def told(self) -> dict[str, Any]:
        """What was asked of the account so far, and the most of it that was used at a time."""
        if not self.are_in_force:
            return {}
        with self._lock:
            buckets = {
                level.bucket.name: {
                    "burst": level.bucket.burst,
                    "per_second": level.bucket.per_second,
                    "taken": level.taken,
                    "refused": level.refused,
                    "most_used": round(level.used, 2),
                }
                for level in self._levels.values()
                if level.taken or level.refused
            }
        names = {False: "on-demand", True: "spot"}
        return {"buckets": buckets, "vcpus": {names[spot]: vcpus.told() for spot, vcpus in self._vcpus.items()}}


class _Vcpus:
    """The quota of one kind of tasks."""

    def __init__(self, quota: float | None) -> None:
        self._quota = quota
        self._most, self._refused = 0.0, 0

    def take(self, each: float, count: int, in_use: float) -> str:
        if self._quota is None or in_use + each * count <= self._quota:
            self._most = max(self._most, in_use + each * count)
            return ""
        self._refused += 1
        return _TOO_BIG if each > self._quota else _NO_MORE_VCPUS

    def told(self) -> dict[str, Any]:
        return {"quota": self._quota, "most_used": self._most, "refused": self._refused}


def _is_spot(placement: Placement) -> bool:
    return placement.capacity_provider == "FARGATE_SPOT"


def _vcpus_of(placement: Placement) -> float:
    return int(placement.cpu) / 1024
