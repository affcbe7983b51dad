"""The words that cross a boundary: tags, paths, environment variables and exit codes.

Whoever writes one of these on one side of a socket, a task definition or a process, and whoever reads it on
the other, takes it from here.
"""

from __future__ import annotations

from typing import Final

VERSION: Final = "0.1.0"
CACHE_DIR_NAME: Final = "pytest-fargate-sandbox"
"""Our folder in the user's cache directory."""

# --- tags on everything that we make in an account ------------------------------------------------------------------
TAG_PREFIX: Final = "fargate-sandbox:"
TAG_OWNER: Final = TAG_PREFIX + "owner"
TAG_RUN: Final = TAG_PREFIX + "run"
TAG_TASK: Final = TAG_PREFIX + "task"
TAG_WORKER: Final = TAG_PREFIX + "worker"
TAG_TEST: Final = TAG_PREFIX + "test"
TAG_EXPIRES: Final = TAG_PREFIX + "expires"
TAG_LEDGER: Final = TAG_PREFIX + "ledger"
TAG_KEPT: Final = TAG_PREFIX + "kept"

# --- the cluster, images and containers -----------------------------------------------------------------------------
LOCAL_CLUSTER: Final = "local"
"""This cluster name means: find or start the embedded engine."""

ENGINE_PULSE_PATH: Final = "/_engine/pulse"
"""What answers there, to anybody and with nothing, is an engine that does not hang."""

HOST_IMAGE: Final = "host"
"""The engine's default image: the machine's own root, copy on write."""

LOST_HOLDER: Final = "the process that held the task is gone"
"""In a reason of the engine's: nothing that ran in the task had a part in its end."""

SIDECAR_REFERENCE: Final = (
    "public.ecr.aws/docker/library/alpine@sha256:a2d49ea686c2adfe3c992e47dc3b5e7fa6e6b5055609400dc2acaeb241c829f4"
)
"""The sidecar's image where nobody named one: public Alpine by digest on AWS; the engine brings its own under it."""

RUNNERS: Final = ("namespaces", "podman", "docker")
"""How the engine may run containers; left to itself it takes the first that works."""

ENV_ENGINE_DIRECTORY: Final = "FARGATE_ENGINE_DIR"
"""Where an engine and its users meet."""

ENV_ENGINE_OPTIONS: Final = "FARGATE_ENGINE_OPTIONS"
ENV_ENGINE_LOG: Final = "FARGATE_ENGINE_LOG"
ENV_ENGINE_DELAY: Final = "FARGATE_ENGINE_LAUNCH_DELAY"

SIDECAR_CONTAINER: Final = "ssh-sidecar"
RUNTIME_CONTAINER: Final = "fargate-sandbox-runtime"

# --- the volume that both containers mount --------------------------------------------------------------------------
SHARED_VOLUME: Final = "fargate-sandbox"
SHARED_DIR: Final = "/run/fargate-sandbox"
WORK_DIR: Final = SHARED_DIR + "/work"
"""Writable by everybody (1777): the exec server keeps output, scripts and links there."""

ENV_LOG: Final = "CONTAINER_LOG"
"""What commands write to the file of this name stands in the container's log."""

RUNTIME_DIR: Final = SHARED_DIR + "/runtime"
"""Where the sidecar drops a Python for images that have none."""

RUNTIME_WANTED: Final = WORK_DIR + "/want-runtime"
"""The main container asks for that Python with this file."""

RUNTIME_READY: Final = RUNTIME_DIR + "/ready"
"""Appears last in the runtime's folder."""

RUNTIME_DROP: Final = "drop"
"""The value of ``ENV_RUNTIME`` that has the sidecar bring its Python without being asked."""
RUNTIME_ONLY: Final = "only"
"""The value that has it do nothing else, and end."""

# --- what travels to a single task, in its RunTask overrides --------------------------------------------------------
ENV_SERVER_PORT: Final = "FARGATE_SANDBOX_PORT"
ENV_TOKEN_SHA256: Final = "FARGATE_SANDBOX_TOKEN_SHA256"
ENV_PRELOAD: Final = "FARGATE_SANDBOX_PRELOAD"
"""What LD_PRELOAD is for commands. The server has none: a library for the image's libc ends a Python of another's."""
NO_PRELOAD: Final = ":"
"""An LD_PRELOAD that names nothing, for glibc and musl alike."""
ENV_SSHD_PORT: Final = "FARGATE_SANDBOX_SSHD_PORT"
ENV_TUNNEL_PORT: Final = "FARGATE_SANDBOX_TUNNEL_PORT"
"""Where the sidecar takes tunnels for its sshd, on loopback; only where the Session Manager is the way in."""
ENV_AUTHORIZED_KEY: Final = "FARGATE_SANDBOX_AUTHORIZED_KEY"
ENV_HOST_KEY: Final = "FARGATE_SANDBOX_HOST_KEY"
ENV_TTL: Final = "FARGATE_SANDBOX_TTL"
LONGEST_TTL_SEC: Final = 2**31 - 1
"""68 years: what any shell's ``sleep`` counts to."""

DEFAULT_TTL_SEC: Final = 14400
"""After this a task ends that is told nothing else."""
ENV_REVERSE_PORTS: Final = "FARGATE_SANDBOX_REVERSE_PORTS"
"""What the sidecar is healthy with: ``PORT`` or ``ADDRESS:PORT``, between commas."""
ENV_HOSTS: Final = "FARGATE_SANDBOX_HOSTS"
"""Lines for the task's ``/etc/hosts``."""
ENV_RUNTIME: Final = "FARGATE_SANDBOX_RUNTIME"
ENV_RUNTIME_SOURCE: Final = "FARGATE_SANDBOX_RUNTIME_SOURCE"
"""The engine tells its own sidecar where a runtime lies that only has to be copied."""

SIDECAR_TUNNEL_PORT: Final = 19543
"""The port that is meant by that."""

EXIT_EXPIRED: Final = 92
"""The sidecar's exit code when the task's time is over."""

STOP_TIMEOUT_SEC: Final = 2
"""Our containers have nothing to save: the shortest grace that Fargate allows."""


SETUP_PHASES: Final = ("waited", "place", "image", "definition", "launch", "address", "tunnel", "server", "files")
"""Of a test's sandbox, in order: what it waited for, its start, its files. They add up to what the clock says."""


class Cause:
    """Why a task ended or could not start."""

    OUT_OF_MEMORY: Final = "out_of_memory"
    SPOT_RECLAIMED: Final = "spot_reclaimed"
    EXPIRED: Final = "expired"
    STOPPED_BY_USER: Final = "stopped_by_user"
    ESSENTIAL_EXITED: Final = "essential_exited"
    START_FAILED: Final = "start_failed"
    CAPACITY: Final = "capacity"
    THROTTLED: Final = "throttled"
    QUOTA: Final = "quota"
    PULL_FAILED: Final = "pull_failed"
    NETWORK: Final = "network"
    """The task has no way to something that it needs, or had none in time."""
    REFUSED: Final = "refused"
    """What was asked for is not there, or not allowed."""
    INFRASTRUCTURE: Final = "infrastructure"
    """Trouble of AWS's own, maintenance among it."""
    ENGINE_LOST: Final = "engine_lost"
    """The embedded engine, or what runs its containers, ended or hung, and its tasks with it."""
    UNKNOWN: Final = "unknown"


TEMPORARY_PREFIX: Final = "fargate-sandbox-"
"""How the names of our directories under ``$TMPDIR`` begin."""
