"""What Fargate allows, as far as a value can be judged without a call. The config and the engine share it."""

from __future__ import annotations

from typing import Final


def _steps(first: int, last: int, step: int = 1024) -> tuple[int, ...]:
    return tuple(range(first, last + 1, step))


# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/task-cpu-memory-error.html
FARGATE_SIZES: Final[dict[int, tuple[int, ...]]] = {
    256: (512, 1024, 2048),
    512: _steps(1024, 4096),
    1024: _steps(2048, 8192),
    2048: _steps(4096, 16384),
    4096: _steps(8192, 30720),
    8192: _steps(16384, 61440, 4096),
    16384: _steps(32768, 122880, 8192),
}
"""CPU units to the MiB of memory that go with them."""

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_EphemeralStorage.html
STORAGE_GIB: Final = range(21, 201)
DEFAULT_STORAGE_GIB: Final = 20

OVERRIDES_CHARACTERS: Final = 8192  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
TASK_DEFINITION_BYTES: Final = 64 * 1024
CLIENT_TOKEN_CHARACTERS: Final = 64  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
STARTED_BY_CHARACTERS: Final = 128  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
SUBNETS: Final = 16  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html
SECURITY_GROUPS: Final = 5  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_AwsVpcConfiguration.html
CONTAINERS: Final = 10  # https://docs.aws.amazon.com/AmazonECS/latest/developerguide/service-quotas.html
TASKS_PER_RUN: Final = 10  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
TASKS_PER_DESCRIBE: Final = 100  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_DescribeTasks.html
MISSING_GRACE_SEC: Final = 60.0  # https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_RunTask.html
"""For so long ECS may not know a task that it has just made. AWS says "eventual consistency", and no number."""

# https://docs.aws.amazon.com/AmazonECS/latest/developerguide/secrets-envvar-secrets-manager.html
SECRET_ARN: Final = r"arn:aws[a-z-]*:secretsmanager:[a-z0-9-]+:\d{12}:secret:[\w/+=.@-]+(:[^:]*:[^:]*:[^:]*)?"
"""After the name come a JSON key, a version's stage and its id: all three, if only to be empty, or none."""

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_ContainerDefinition.html
TIMEOUT_SEC: Final = range(2, 121)
"""What ``startTimeout`` and ``stopTimeout`` may be."""
ENVIRONMENT_FILES: Final = 10
"""Of one container."""

# https://docs.aws.amazon.com/AmazonECS/latest/APIReference/API_HealthCheck.html
HEALTH_INTERVAL_SEC: Final = range(5, 301)
HEALTH_TIMEOUT_SEC: Final = range(2, 61)
HEALTH_RETRIES: Final = range(1, 11)


def memory_for(cpu: int) -> str:
    """The memory sizes that go with ``cpu``, in words."""
    sizes = FARGATE_SIZES[cpu]
    if len(sizes) <= 3:
        return ", ".join(map(str, sizes))
    return f"{sizes[0]} to {sizes[-1]} in steps of {sizes[1] - sizes[0]}"


def size_with(cpu: str | None, memory: str | None, default: tuple[str, str]) -> tuple[str, str]:
    """CPU units and MiB where one of them is said, or none: the other is the ``default``, or else the next that fits.

    What is no size at all is left as it is, for others to refuse.
    """
    if cpu is not None and memory is None and _number(cpu) in FARGATE_SIZES:
        sizes = FARGATE_SIZES[_number(cpu)]
        return cpu, str(next((size for size in sizes if size >= int(default[1])), sizes[-1]))
    if memory is not None and cpu is None:
        fitting = [units for units, sizes in FARGATE_SIZES.items() if _number(memory) in sizes]
        large_enough = [units for units in fitting if units >= int(default[0])]
        return str(next(iter(large_enough or fitting[-1:] or default))), memory
    return default[0] if cpu is None else cpu, default[1] if memory is None else memory


def _number(text: str) -> int:
    return int(text) if str(text).isdecimal() and len(str(text)) < 10 else 0


def size_problem(cpu: int, memory: int) -> str | None:
    """What is wrong with this pair of CPU units and MiB, or None."""
    if cpu not in FARGATE_SIZES:
        return f"cpu {cpu} is not a Fargate size; allowed are {', '.join(map(str, FARGATE_SIZES))} CPU units"
    if memory not in FARGATE_SIZES[cpu]:
        return f"with cpu {cpu}, memory {memory} is not a Fargate size; allowed are {memory_for(cpu)} MiB"
    return None
