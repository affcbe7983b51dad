"""The cluster ``local``: an engine that is found, or started as a program, and that ends when nobody uses it any more.

Whoever uses it holds a shared lock on a file of its directory, from before the engine is looked for until the process
ends, however it ends. The engine waits for the exclusive one.

    FARGATE_ENGINE_DIR      where the engine and its users meet; by default a directory of the user's cache, one for
                            each way of starting an engine
    FARGATE_ENGINE_OPTIONS  options of ``fargate-sandbox engine`` for an engine that we start, as in a shell
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
import shlex
import shutil
import socket
import subprocess
import sys
import threading
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_fargate_sandbox.leaves.errors import StartError, StartTimeout
from pytest_fargate_sandbox.leaves.file_lock import FileLock
from pytest_fargate_sandbox.leaves.names import HOST_IMAGE, VERSION
from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect

if TYPE_CHECKING:
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

ENV_DIRECTORY = "FARGATE_ENGINE_DIR"
ENV_OPTIONS = "FARGATE_ENGINE_OPTIONS"
ENV_LOG = "FARGATE_ENGINE_LOG"
_ENV_OF_ENGINE = (ENV_OPTIONS, ENV_LOG, "FARGATE_ENGINE_LAUNCH_DELAY")
"""What makes one engine different from another; those who agree in it share one."""

_START_SEC = 60.0
_LOG_GROUP = "/fargate-sandbox"
_LONGEST_POLL_SEC = 0.3
"""Asking an engine costs no one anything, and its tasks start in no time."""


@dataclass(frozen=True)
class LocalEngine:
    """An engine that serves, as its ``engine.json`` describes it."""

    directory: Path
    endpoint_url: str
    pid: int
    region: str
    credentials: Credentials
    subnets: list[str]
    security_groups: list[str]
    execution_role_arn: str
    runner: str

    @classmethod
    def read(cls, directory: Path) -> LocalEngine | None:
        """The engine of that directory, if there is one that lives."""
        try:
            facts: dict[str, Any] = json.loads((directory / "engine.json").read_text())
        except FileNotFoundError:
            return None
        if not _answers(facts["endpoint_url"]):
            return None  # it was killed, or the machine was
        credentials = Credentials(facts["access_key_id"], facts["secret_access_key"])
        told = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        return cls(directory=directory, credentials=credentials, **told)

    def connect(self) -> Aws:
        return connect(
            region=self.region,
            endpoint_url=self.endpoint_url,
            credentials=self.credentials,
            notes=self.directory / "notes",
        )

    def localized(self, cfg: EcsFargateConfig) -> EcsFargateConfig:
        """``cfg`` with everything that only AWS needs filled in, or replaced by what is here."""
        has_image = cfg.image_template or cfg.task_definition or cfg.environment_dir
        return replace(
            cfg,
            region=self.region,
            endpoint_url=self.endpoint_url,
            subnets=self.subnets,
            security_groups=self.security_groups,
            execution_role_arn=self.execution_role_arn,
            task_role_arn=None,
            assign_public_ip=False,
            connect_via="private",
            image_template=cfg.image_template if has_image else HOST_IMAGE,
            log_group=cfg.log_group or _LOG_GROUP,
            poll_interval_sec=min(cfg.poll_interval_sec, _LONGEST_POLL_SEC),
        )


def engine_directory() -> Path:
    """Where the engine is, or will be, with the environment as it stands."""
    chosen = os.environ.get(ENV_DIRECTORY)
    if chosen:
        directory = Path(chosen)
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory
    ways = [
        sys.executable,
        str(Path(__file__).parents[1]),
        VERSION,
        *(os.environ.get(name, "") for name in _ENV_OF_ENGINE),
    ]
    return cache_directory("engines", hashlib.sha256("\0".join(ways).encode()).hexdigest()[:16])


def use_engine() -> None:
    """Count as a user of the engine until this process ends, without starting one."""
    _use(engine_directory())


_used: dict[tuple[int, Path], int] = {}
_used_lock = threading.Lock()


def local_engine() -> LocalEngine:
    """The engine, started if there is none; this process counts as a user of it until its end.

    Raises ``StartError`` with what the engine said when it cannot be started.
    """
    directory = engine_directory()
    _use(directory)
    engine = LocalEngine.read(directory)
    if engine is None:
        with FileLock(directory / "start.lock"):
            engine = LocalEngine.read(directory) or _start(directory)
    return engine


def _use(directory: Path) -> None:
    """Hold the shared lock. While an engine is about to end it has the lock alone, and we wait for its end."""
    key = (os.getpid(), directory)
    with _used_lock:
        if key not in _used:
            descriptor = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            fcntl.flock(descriptor, fcntl.LOCK_SH)
            _used[key] = descriptor


def _start(directory: Path) -> LocalEngine:
    shutil.rmtree(directory / "notes", ignore_errors=True)  # they are about the engine before
    complaint, output = directory / "engine.err", directory / "engine.out"
    complaint.unlink(missing_ok=True)
    command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(directory)]
    command += shlex.split(os.environ.get(ENV_OPTIONS, ""))
    environment = dict(os.environ)
    if environment.get(ENV_LOG):
        environment[ENV_LOG] = str(Path(environment[ENV_LOG]).absolute())  # it starts in another directory than ours
    with output.open("wb") as file:
        # A session of its own: Ctrl-C is for us, and we are the ones who end the engine. No inherited pipe either, or
        # somebody who reads our output to its end would wait for the engine's.
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=environment,
        )

    def probe() -> LocalEngine | None:
        if process.poll() is not None:
            raise _no_engine(complaint, output, f"it ended with exit code {process.returncode}")
        return LocalEngine.read(directory)

    try:
        engine = wait_until(probe, deadline=_START_SEC, what="the start of the engine", longest_pause=0.1)
    except WaitTimeout as error:
        process.kill()
        process.wait()
        raise _no_engine(complaint, output, str(error), StartTimeout) from error
    process.returncode = 0  # others may use it longer than we live: it is no child to be waited for any more
    return engine


def _no_engine(complaint: Path, output: Path, what: str, kind: type[StartError] = StartError) -> StartError:
    texts = [path.read_text(errors="replace").strip() for path in (complaint, output) if path.exists()]
    said = next(filter(None, texts), "")
    return kind(f"the local engine did not start: {what}\n{said}".rstrip(), phase="engine", reason=said or what)


def _answers(endpoint_url: str) -> bool:
    parts = urlsplit(endpoint_url)
    try:
        socket.create_connection((str(parts.hostname), parts.port or 80), timeout=2.0).close()
    except OSError:
        return False
    return True
