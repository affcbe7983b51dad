"""``--fargate-runner`` reaches an engine that the library starts the way any option of the engine does."""

from __future__ import annotations

import os

_VARIABLE = "FARGATE_ENGINE_OPTIONS"


class RunnerOption:
    """Holds from its making to the end of the session, for this process and the workers that it starts."""

    def __init__(self, runner: str) -> None:
        self._before = os.environ.get(_VARIABLE)
        option = f"--runner {runner}"
        said = self._before or ""
        if runner != "auto" and option not in said:  # a worker has it from its controller
            os.environ[_VARIABLE] = f"{said} {option}".strip()

    def pytest_unconfigure(self) -> None:
        if self._before is None:
            os.environ.pop(_VARIABLE, None)
        else:
            os.environ[_VARIABLE] = self._before
