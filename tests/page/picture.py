"""``python -m tests.page.picture``: the picture in docs/report.md, of the page of a run that never was."""

from __future__ import annotations

import os
import sys
import tempfile
from pathlib import Path

from pytest_fargate_sandbox.page.finished_run import find_run
from pytest_fargate_sandbox.page.run_page import write_page
from tests.page.browser import Browser
from tests.page.made_runs import made_run

PICTURE = Path(__file__).parents[2] / "docs" / "report.png"


def main() -> int:
    with tempfile.TemporaryDirectory() as directory:
        os.environ["XDG_CACHE_HOME"] = directory
        made_run("20260921-141320-7f3a2c", 48)
        page = Path(directory) / "page.html"
        write_page(page, find_run("last"))
        browser = Browser("/usr/bin/chromium-headless-shell")
        try:
            browser.open(page, width=1400, height=840)
            browser.picture_of(".lanes canvas")
            browser.picture(PICTURE)
        finally:
            browser.close()
    return 0


if __name__ == "__main__":
    sys.exit(main())
