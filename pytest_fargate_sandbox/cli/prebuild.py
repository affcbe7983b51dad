"""``fargate-sandbox prebuild``: build the images of benchmark tasks, so that a later run builds nothing."""

from __future__ import annotations

import itertools
import sys
from concurrent.futures import FIRST_COMPLETED, ThreadPoolExecutor, wait
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.cli.sidecar_image import add_place_options, place_of
from pytest_fargate_sandbox.leaves import progress_bar
from pytest_fargate_sandbox.leaves.number_within import number_within
from pytest_fargate_sandbox.leaves.printable import printable

if TYPE_CHECKING:
    import argparse
    from collections.abc import Callable, Iterable

SUMMARY = "build the images of benchmark tasks, shared bases first, so that a later run builds nothing"

_AT_ONCE = 8
_LOOKS_SEC = 0.5


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("paths", nargs="+", type=Path, metavar="DIR", help="a task's folder, or one of such folders")
    add_place_options(parser)
    parser.add_argument(
        "--at-once",
        type=number_within(1, 1000, "builds"),
        default=_AT_ONCE,
        metavar="N",
        help=f"builds at a time ({_AT_ONCE})",
    )


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.tasks.task_images import contexts_of, in_rounds
    from pytest_fargate_sandbox.tasks.task_lint import task_files

    rounds = in_rounds(contexts_of(task_files(arguments.paths)))
    most = sum(map(len, rounds))
    if not most:
        print("no task there has a Dockerfile: nothing to build")
        return 0
    cfg, aws = place_of(arguments)

    def build(context: Path) -> str:
        from pytest_fargate_sandbox.leaves.config import replaced
        from pytest_fargate_sandbox.sandbox.main_image import resolve_image

        return resolve_image(replaced(cfg, environment_dir=str(context), image_template=None), aws, context.name, None)

    with progress_bar.shown("images", most, in_bytes=False):
        count = itertools.count(1)
        failed = [
            problem
            for contexts in rounds
            for problem in _built(contexts, build, arguments.at_once, lambda done: _tell(next(count), most, done))
        ]
    print(printable("\n".join(_in_sentences(failed))) or f"{most} images are there")
    return 1 if failed else 0


def _in_sentences(failed: list[tuple[Path, str]]) -> Iterable[str]:
    """What keeps several from being built, a want of the configuration's say, once."""
    contexts: dict[str, list[Path]] = {}
    for context, problem in failed:
        contexts.setdefault(problem, []).append(context)
    for problem, those in contexts.items():
        more = f" and {len(those) - 1} more" if len(those) > 1 else ""
        yield f"{those[0]}{more}: {problem}"


def _built(
    contexts: Iterable[Path], build: Callable[[Path], str], at_once: int, tell: Callable[[Path], object]
) -> Iterable[tuple[Path, str]]:
    """What failed of them, and why; what is built stays built."""
    from pytest_fargate_sandbox.leaves.errors import SandboxError

    with ThreadPoolExecutor(max(1, at_once), "prebuild") as pool:
        builds = {pool.submit(build, context): context for context in contexts}
        try:
            pending = set(builds)
            while pending:
                done, pending = wait(pending, _LOOKS_SEC, FIRST_COMPLETED)
                progress_bar.moved(0, ", ".join(sorted(str(builds[each]) for each in pending if each.running())))
                for each in done:
                    tell(builds[each])
                    try:
                        each.result()
                    except SandboxError as error:
                        yield builds[each], str(error)
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise


def _tell(number: int, most: int, context: Path) -> None:
    """How far it has come: by the bar of a terminal, in a line each elsewhere."""
    if progress_bar.is_shown():
        progress_bar.moved(1)
    else:
        print(f"{number}/{most} {printable(str(context))}", file=sys.stderr)
