"""The images that a run will need are built from its beginning, all at once, beside everything else."""

from __future__ import annotations

import contextlib
import threading
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.run.pool import Pool
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec


class BuildsAhead:
    """A thread for each directory; what becomes of its image is kept for the run, and whoever needs it meets it."""

    def __init__(self, pool: Pool) -> None:
        self._pool = pool
        self._threads: dict[str, threading.Thread] = {}

    def begin(self, spec: SandboxSpec) -> None:
        """Begin to build the image of ``spec``, if it has one to be built."""
        directory = spec.config.environment_dir
        if directory and directory not in self._threads:
            self._threads[directory] = threading.Thread(
                target=self._build, args=(spec, directory), name="build-ahead", daemon=True
            )
            self._threads[directory].start()

    @contextlib.contextmanager
    def ending(self, *, stop: bool) -> Iterator[None]:
        """None is building behind the block. ``stop``: nor in it, so that nothing there waits for an image."""
        if not self._threads:
            yield
            return
        from pytest_fargate_sandbox.providers.images.own_builds import builds_stopped

        with builds_stopped() if stop else contextlib.nullcontext():
            yield
            for thread in self._threads.values():
                thread.join()

    def _build(self, spec: SandboxSpec, directory: str) -> None:
        with contextlib.suppress(Exception):
            self._pool.image_of(spec.config, directory, force_build=spec.force_build)
