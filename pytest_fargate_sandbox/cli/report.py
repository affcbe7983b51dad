"""``fargate-sandbox report RUN``: the page of a run, made of what was written down, however it ended."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import argparse

SUMMARY = "write a run, as a page to look at, to a file; without RUN, list the runs that are known here"


def configure(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "which", nargs="?", metavar="RUN", help="its id or how that begins, `last`, or a file of --fargate-report-json"
    )
    parser.add_argument("-o", "--output", type=Path, metavar="FILE", help="where to; else RUN.html here")
    parser.add_argument("--compare", metavar="RUN", help="tell what is otherwise than in this one")


def run(arguments: Any) -> int:
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.page.earlier_run import compared, told
    from pytest_fargate_sandbox.page.finished_run import find_run
    from pytest_fargate_sandbox.page.run_page import write_page
    from pytest_fargate_sandbox.records.run_records import all_runs

    if arguments.which is None:
        if arguments.output or arguments.compare:
            raise ConfigError("of which run? Name it (`last`): without one they are listed, and no page is written")
        print(*(all_runs() or ["nothing is kept of any run here"]), sep="\n")
        return 0
    found = find_run(arguments.which)
    changes = compared(found, find_run(arguments.compare)) if arguments.compare else None
    path = arguments.output or Path(f"{Path(found.name).stem}.html")
    try:
        write_page(path, found, changes)
    except OSError as error:
        raise ConfigError(f"{path}: {error.strerror}", key="output", value=str(path)) from None
    if changes is not None:
        print(*told(changes), sep="\n")
    print(path)
    return 0
