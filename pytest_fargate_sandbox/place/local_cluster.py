"""The cluster ``local``: an engine that is found, or started as a program, and that ends when nobody uses it any more.

Whoever uses it holds a shared lock on a file of its directory, from before the engine is looked for until the process
ends, however it ends. The engine waits for the exclusive one. An engine that hangs is ended by whoever of its users
meets that first, and the next one who asks starts another: never are there two for one directory. One that is stopped
cannot end, so who leaves looks for that.

    FARGATE_ENGINE_DIR      where the engine and its users meet; by default a directory of the user's cache, one for
                            each way of starting an engine
    FARGATE_ENGINE_OPTIONS  options of ``fargate-sandbox engine`` for an engine that we start, as in a shell
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import hashlib
import json
import logging
import os
import shlex
import shutil
import subprocess
import sys
import threading
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from pytest_fargate_sandbox.leaves.errors import ConfigError, StartError, StartTimeout
from pytest_fargate_sandbox.leaves.file_lock import FileLock, Timeout
from pytest_fargate_sandbox.leaves.lock_at_once import taken_at_once
from pytest_fargate_sandbox.leaves.names import (
    ENV_ENGINE_DELAY,
    ENV_ENGINE_DIRECTORY,
    ENV_ENGINE_LOG,
    ENV_ENGINE_OPTIONS,
    HOST_IMAGE,
    VERSION,
)
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, is_somebody_elses
from pytest_fargate_sandbox.leaves.waiting import WaitTimeout, wait_until
from pytest_fargate_sandbox.place.engine_process import ASLEEP_SEC, BUSY_SEC, EngineProcess, Pulse
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

T = TypeVar("T")

_log = logging.getLogger("pytest_fargate_sandbox.engine")

_ENV_OF_ENGINE = (ENV_ENGINE_OPTIONS, ENV_ENGINE_LOG, ENV_ENGINE_DELAY)
"""What makes one engine different from another; those who agree in it share one."""

_START_SEC = 60.0
_ENDING_SEC = 30.0
"""An engine that ends gives its tasks a moment, and what runs them more."""
_NOTED_ENGINES = 3
_LOG_GROUP = "/fargate-sandbox"
_LONGEST_POLL_SEC = 0.3
"""Asking an engine costs no one anything, and its tasks start in no time."""


@dataclass(frozen=True)
class LocalEngine:
    """An engine that serves, as its ``engine.json`` describes it."""

    directory: Path
    endpoint_url: str
    process: EngineProcess
    region: str
    credentials: Credentials
    subnets: list[str]
    security_groups: list[str]
    execution_role_arn: str
    runner: str
    limited: bool = False
    """Whether it answers as an account with limits."""
    public_subnets: Sequence[str] = ()
    """From which tasks reach the internet."""
    no_way_out: str = ""
    """Why there are none."""

    @classmethod
    def read(cls, directory: Path) -> LocalEngine | None:
        """The engine that serves in that directory, if one does and lives."""
        process = EngineProcess.of(directory)
        try:
            facts: dict[str, Any] = json.loads((directory / "engine.json").read_text())
        except FileNotFoundError:
            return None
        if process is None or not process.facts.items() <= facts.items():
            return None  # it was killed, or the machine was
        credentials = Credentials(facts["access_key_id"], facts["secret_access_key"])
        told = {each.name: facts[each.name] for each in fields(cls) if each.name in facts}
        return cls(directory=directory, process=process, credentials=credentials, **told)

    @property
    def pid(self) -> int:
        return self.process.pid

    def connect(self) -> Aws:
        return connect(
            region=self.region,
            endpoint_url=self.endpoint_url,
            credentials=self.credentials,
            notes=self.directory / "notes",
            obituary=self.obituary,
            is_counted=self.limited,
        )

    def pulse(self, longest: float = BUSY_SEC) -> Pulse:
        """Ask it for nothing; one that hangs is ended, if this process is a user of it. Raises ``StartError``."""
        pulse = self.process.pulse(self.endpoint_url, longest)
        if pulse is Pulse.SILENT and (os.getpid(), self.directory) in _used:
            _end(self.process)
        return pulse

    def still_serves(self) -> bool:
        """Whether it does, which is to be asked where no answer came. Raises ``AwsError`` where one hangs for good."""
        try:
            pulse = self.pulse(ASLEEP_SEC)
        except StartError as error:
            raise AwsError(str(error), unreachable=True) from error
        if pulse is Pulse.REFUSES:  # it did serve: it is about to end, and its threads may take a moment
            self.process.await_end()
        serves = LocalEngine.read(self.directory) == self
        if serves and pulse is Pulse.SILENT:
            raise AwsError(
                f"{self.process.name} does not answer; the next run that uses it replaces it", unreachable=True
            )
        return serves

    def obituary(self) -> str:
        """Why nothing can be asked here any more; empty while something can."""
        return "" if self.still_serves() else f"{self.process.name} has ended, and its tasks with it"

    def localized(self, cfg: EcsFargateConfig) -> EcsFargateConfig:
        """``cfg`` with everything that only AWS needs filled in, or replaced by what is here.

        Raises ``ConfigError`` where it wants what is not to be had here.
        """
        if cfg.network == "public" and self.no_way_out:
            raise ConfigError(
                f"network='public' is not to be had here: {self.no_way_out}; without it tasks reach nothing outside",
                key="network",
                value=cfg.network,
            )
        through_sessions = cfg.ecs_exec or cfg.connect_via == "ssm"
        has_image = cfg.image_template or cfg.task_definition or cfg.environment_dir
        return replace(
            cfg,
            region=self.region,
            endpoint_url=self.endpoint_url,
            subnets=self.public_subnets if cfg.network == "public" else self.subnets,
            security_groups=self.security_groups,
            execution_role_arn=self.execution_role_arn,
            task_role_arn=self.execution_role_arn if through_sessions else None,
            assign_public_ip=False,
            connect_via="ssm" if cfg.connect_via == "ssm" else "private",
            image_template=cfg.image_template if has_image else HOST_IMAGE,
            log_group=cfg.log_group or _LOG_GROUP,
            poll_interval_sec=cfg.poll_interval_sec if self.limited else min(cfg.poll_interval_sec, _LONGEST_POLL_SEC),
        )


def engine_directory() -> Path:
    """Where the engine is, or will be, with the environment as it stands."""
    chosen = os.environ.get(ENV_ENGINE_DIRECTORY)
    if chosen:
        directory, why = Path(chosen), ""
        try:
            directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        except OSError as error:
            why = f"cannot be made: {error.strerror}"
        if not why and is_somebody_elses(directory):
            why = "was made by another user, whose engine we would use"
        if why:
            text = f"{ENV_ENGINE_DIRECTORY}={chosen} {why}: set another directory"
            raise StartError(text, phase="engine", reason=text)
        return directory
    ways = [
        sys.executable,
        str(Path(__file__).parents[1]),
        VERSION,
        *(os.environ.get(name, "") for name in _ENV_OF_ENGINE),
        _loopback(),
    ]
    return cache_directory("engines", hashlib.sha256("\0".join(ways).encode()).hexdigest()[:16])


def _loopback() -> str:
    """Which 127.0.0.1 we mean: a container that shares our cache directory has one of its own."""
    try:
        return os.readlink("/proc/self/ns/net")  # noqa: PTH115 - it names no file
    except OSError:
        return ""


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
    if engine is not None and engine.pulse() is Pulse.ANSWERS:
        return engine
    try:
        with FileLock(directory / "start.lock", timeout=2 * _START_SEC):
            return _found_or_started(directory)
    except Timeout:
        text = f"another process has been starting the local engine of {directory} for {2 * _START_SEC:.0f} s"
        raise StartTimeout(text, phase="engine", reason=text) from None


def _found_or_started(directory: Path) -> LocalEngine:
    try:
        return _found(directory) or _start(directory)
    except StartError as error:
        if not error.transient:
            raise
    return _found(directory) or _start(directory)


def _found(directory: Path) -> LocalEngine | None:
    """The engine there, once it serves; None when no process has the directory any more."""

    def probe() -> LocalEngine | bool | None:
        process = EngineProcess.of(directory)
        if process is None:
            return False
        engine = LocalEngine.read(directory)
        return engine if engine and engine.pulse() is Pulse.ANSWERS else None  # it starts, or is about to end

    found = _outlast(directory, _START_SEC, probe)
    return found if isinstance(found, LocalEngine) else None


def _use(directory: Path) -> None:
    """Hold the shared lock. While an engine is about to end it has the lock alone, and we wait for its end."""
    key = (os.getpid(), directory)
    with _used_lock:
        if key not in _used:
            descriptor = os.open(directory / "users.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
            if not _outlast(directory, _ENDING_SEC, lambda: taken_at_once(descriptor, fcntl.LOCK_SH) or None):
                os.close(descriptor)
                text = f"somebody has locked {directory / 'users.lock'} for himself, and it is no engine"
                raise StartError(text, phase="engine", reason=text)
            if not _used:
                atexit.register(_leave)
            _used[key] = descriptor


def _leave() -> None:
    """Nobody may come behind us who would meet an engine that is stopped, and what it runs would stay."""
    for pid, directory in list(_used):
        process = EngineProcess.of(directory) if pid == os.getpid() else None
        if process is not None and process.stays_stopped():
            with contextlib.suppress(StartError):  # it is another user's
                process.end()


def _outlast(directory: Path, seconds: float, probe: Callable[[], T | None]) -> T | None:
    """What ``probe`` returns when the engine there has started, or ended; one that stops or takes longer is killed."""

    def look() -> T | None:
        found = probe()
        process = EngineProcess.of(directory) if found is None else None
        if process is not None and process.stays_stopped():
            _end(process)
        return found

    try:
        return wait_until(look, deadline=seconds, what="an engine", longest_pause=0.1)
    except WaitTimeout:
        process = EngineProcess.of(directory)
        if process is not None:
            _end(process)
        return probe()


def _end(process: EngineProcess) -> None:
    _log.warning("%s hangs: it is killed, and its tasks with it; another takes its place", process.name)
    process.end()


def _start(directory: Path) -> LocalEngine:
    _forget_old_notes(directory / "notes")
    complaint, output = directory / "engine.err", directory / "engine.out"
    complaint.unlink(missing_ok=True)
    process = _spawn(directory, output)

    def probe() -> LocalEngine | None:
        if process.poll() is not None:
            what = f"it ended with exit code {process.returncode}"
            # It was killed; or another was quicker, whose starter had died and left it: ours has found the lock taken.
            transient = process.returncode < 0 or EngineProcess.of(directory) is not None
            raise _no_engine(complaint, output, what, transient=transient)
        there = EngineProcess.of(directory)
        if there is not None and there.stays_stopped():
            process.kill()
        engine = LocalEngine.read(directory)
        return engine if engine and engine.pid == process.pid else None

    try:
        engine = wait_until(probe, deadline=_START_SEC, what="the start of the engine", longest_pause=0.1)
    except WaitTimeout as error:
        process.kill()
        process.wait()
        raise _no_engine(complaint, output, str(error), StartTimeout) from error
    process.returncode = 0  # others may use it longer than we live: it is no child to be waited for any more
    return engine


def _spawn(directory: Path, output: Path) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-m", "pytest_fargate_sandbox.local", "--state", str(directory), *_options()]
    environment = dict(os.environ)
    if log := environment.get(ENV_ENGINE_LOG):  # it starts in another directory than ours
        environment[ENV_ENGINE_LOG] = str(Path(log).absolute())
    with output.open("wb") as file:
        # A session of its own: Ctrl-C is for us, and we are the ones who end the engine. No inherited pipe either, or
        # somebody who reads our output to its end would wait for the engine's.
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=file,
            stderr=file,
            start_new_session=True,
            cwd="/",
            env=environment,
        )


def _options() -> list[str]:
    said = os.environ.get(ENV_ENGINE_OPTIONS, "")
    try:
        return shlex.split(said)
    except ValueError as error:
        text = f"{ENV_ENGINE_OPTIONS}={said}: no shell would take it: {error}"
        raise StartError(text, phase="engine", reason=text) from error


def _forget_old_notes(notes: Path) -> None:
    """They are about the engines before. Of the last ones somebody may be taking some still, who has not heard yet."""
    engines = sorted(notes.glob("*"), key=lambda each: each.stat().st_mtime)
    for each in engines[:-_NOTED_ENGINES]:
        shutil.rmtree(each, ignore_errors=True)


def _no_engine(
    complaint: Path, output: Path, what: str, kind: type[StartError] = StartError, *, transient: bool = False
) -> StartError:
    texts = [path.read_text(errors="replace").strip() for path in (complaint, output) if path.exists()]
    said = next(filter(None, texts), "")
    if said.startswith("python -m "):  # what it does not take it has from the environment
        wrong = said.partition(": ")[2].rpartition(" (see ")[0]
        is_named = wrong.startswith(_ENV_OF_ENGINE)
        what, said = wrong if is_named else f"{wrong} (of {', '.join(_ENV_OF_ENGINE)})", ""
    text = f"the local engine did not start: {what}\n{said}".rstrip()
    return kind(text, phase="engine", reason=said or what, transient=transient)
