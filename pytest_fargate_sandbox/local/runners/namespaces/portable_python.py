"""A Python that works under any root, for images that have none: made once for an engine, when it is first needed."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox import server
from pytest_fargate_sandbox.leaves.names import ENV_RUNTIME, RUNTIME_DROP, RUNTIME_ONLY
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import Bind
from pytest_fargate_sandbox.local.runners.runner_contract import CannotStart

if TYPE_CHECKING:
    from collections.abc import Mapping

_PLACE_IN_SIDECAR = "/opt/fargate-sandbox-runtime"


class Runtime:
    """Copies the interpreter that runs the engine. ``expected``: some image may lack one, so begin now."""

    def __init__(self, directory: Path, *, expected: bool) -> None:
        self._directory = directory
        self._lock = threading.Lock()
        self._wanted = expected
        self._problem: str | None = None
        if expected:
            threading.Thread(target=self._make, name="runtime", daemon=True).start()

    def find(self, environment: Mapping[str, str]) -> Bind | None:
        """What shows the runtime to a sidecar with this environment; None where no image can need it."""
        if not self._wanted and environment.get(ENV_RUNTIME) not in (RUNTIME_DROP, RUNTIME_ONLY):
            return None
        self._make()
        if self._problem:
            raise CannotStart(f"CannotStartContainerError: no Python for images without one: {self._problem}")
        return Bind(str(self._directory), _PLACE_IN_SIDECAR)

    def _make(self) -> None:
        with self._lock:
            if self._problem is not None or (self._directory / "ready").exists():
                return
            program = Path(server.__path__[0]) / "relocatable.py"
            command = [sys.executable, "-I", "-S", "-B", str(program), str(self._directory)]
            made = subprocess.run(command, capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)
            if made.returncode:
                self._problem = made.stderr.strip() or f"{program.name} ended with {made.returncode}"
