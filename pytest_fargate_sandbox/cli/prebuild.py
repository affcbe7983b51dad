"""``fargate-sandbox prebuild``: build the images of benchmark tasks, so that a later run builds nothing."""

from __future__ import annotations

import sys
import threading
from concurrent.futures import ThreadPoolExecutor, as_completed
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.sidecar_image import add_place_options, place_of

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

SUMMARY = "build the images of benchmark tasks, shared bases first, so that a later run builds nothing"

_AT_ONCE = 8
_WIDTH = 30


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a task's folder, or one of such folders")
    add_place_options(parser)
    parser.add_argument("--at-once", type=int, default=_AT_ONCE, metavar="N", help=f"builds at a time ({_AT_ONCE})")


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.tasks.task_images import contexts_of, in_rounds
    from pytest_fargate_sandbox.tasks.task_lint import task_files

    rounds = in_rounds(contexts_of(task_files(arguments.paths)))
    bar = _Bar(sum(map(len, rounds)))
    if not bar.most:
        print("no task there has a Dockerfile: nothing to build")
        return 0
    cfg, aws = place_of(arguments)

    def build(context: Path) -> str:
        from pytest_fargate_sandbox.leaves.config import replaced
        from pytest_fargate_sandbox.sandbox.main_image import resolve_image

        return resolve_image(replaced(cfg, environment_dir=str(context), image_template=None), aws, context.name, None)

    failed = [problem for contexts in rounds for problem in _built(contexts, build, arguments.at_once, bar)]
    bar.end()
    print("\n".join(failed) or f"{bar.most} images are there")
    return 1 if failed else 0


def _built(contexts: Iterable[Path], build: Callable[[Path], str], at_once: int, bar: _Bar) -> Iterable[str]:
    """What failed of them, in a sentence each; what is built stays built."""
    from pytest_fargate_sandbox.leaves.errors import SandboxError

    with ThreadPoolExecutor(max(1, at_once), "prebuild") as pool:
        builds = {pool.submit(build, context): context for context in contexts}
        try:
            for done in as_completed(builds):
                bar.step(builds[done])
                try:
                    done.result()
                except SandboxError as error:
                    yield f"{builds[done]}: {error}"
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


class _Bar:
    """How far it has come: a line that is drawn again on a terminal, a line each elsewhere."""

    def __init__(self, most: int) -> None:
        self.most = most
        self._done = 0
        self._is_drawn = sys.stderr.isatty()
        self._lock = threading.Lock()

    def step(self, context: Path) -> None:
        with self._lock:
            self._done += 1
            full = self._done * _WIDTH // self.most
            line = f"[{'=' * full:<{_WIDTH}}] {self._done}/{self.most} {context}"
            sys.stderr.write(f"\r\033[K{line[:110]}" if self._is_drawn else f"{line}\n")
            sys.stderr.flush()

    def end(self) -> None:
        if self._is_drawn:
            print(file=sys.stderr)
