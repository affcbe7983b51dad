"""One file that shows a run: no network, nothing that a sandbox has said can become a part of the page.

The policy in it lets its own script and style run, which are known by their digests, and load nothing. What the run was
is JSON in which no ``<`` stands; stories and recordings are packed, and unpacked when somebody wants to see one.
"""

from __future__ import annotations

import base64
import errno
import gzip
import hashlib
import json
import os
import shutil
from contextlib import contextmanager, suppress
from importlib.resources import files
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any
from urllib.parse import quote

from pytest_fargate_sandbox.page.story_data import story_data

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fargate_sandbox.page.finished_run import FinishedRun

_SCRIPTS = ("elements", "timeline", "painting", "moving", "screen", "player", "story", "tables", "page")
_UNSAFE = {"<": "\\u003c", "\u2028": "\\u2028", "\u2029": "\\u2029"}
_MOST_RECORDINGS = 24 * 1024 * 1024
"""Bytes of a page, packed; what would not fit is told of."""


def write_page(path: Path, run: FinishedRun, changes: Mapping[str, Any] | None = None) -> None:
    """In one step: nobody ever sees half of it. ``changes`` are those since an earlier run. Raises ``OSError``."""
    with _in_place_of(path) as file:
        _write(file, path, run, changes)


def check_writable(path: Path) -> None:
    """Raises the ``OSError`` that writing a page there would; what stands there stays as it is."""
    with suppress(_NotNow), _in_place_of(path):
        raise _NotNow


class _NotNow(Exception):
    pass


@contextmanager
def _in_place_of(path: Path) -> Iterator[IO[str]]:
    """A file that takes the place of that one, or of what its link leads to, if the block ends well."""
    path = path.resolve()
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.exists() and not path.is_file():
        number = errno.EISDIR if path.is_dir() else errno.EINVAL
        raise OSError(number, "is no regular file" if number == errno.EINVAL else os.strerror(number), str(path))
    if path.exists() and not os.access(path, os.W_OK):
        raise OSError(errno.EACCES, os.strerror(errno.EACCES), str(path))
    draft = path.with_name(f".{path.name[:200]}.{os.getpid()}")
    try:
        draft.unlink(missing_ok=True)  # of a process of that number that was killed
        with draft.open("x", encoding="utf-8") as file:
            if path.exists():
                shutil.copymode(path, draft)
            yield file
        draft.replace(path)
    finally:
        draft.unlink(missing_ok=True)


def _write(file: IO[str], path: Path, run: FinishedRun, changes: Mapping[str, Any] | None) -> None:
    links = {
        number: links
        for number, test in enumerate(run.report["tests"])
        if (links := [_link(each, path.parent) for each in test.get("artifacts") or ()])
    }
    data = {**run.page_data, "run": run.name, "links": links, "compared": changes}
    head, style, script = _asset("page.html"), _asset("page.css"), "\n".join(_asset(f"{each}.js") for each in _SCRIPTS)
    script = f'"use strict";\n(() => {{\n{script}\n}})();\n'
    for word, value in {
        "POLICY": f"default-src 'none'; script-src '{_digest(script)}'; style-src '{_digest(style)}'; "
        "base-uri 'none'; form-action 'none'",
        "STYLE": style,
    }.items():
        head = head.replace(f"@{word}@", value)
    file.write(head)
    file.write(f'<script type="application/json" id="run">{embedded(data)}</script>\n')
    room = _MOST_RECORDINGS
    for number, test in enumerate(run.tests_with_stories):
        story, recordings = story_data(run.story_of(test))
        for place, recording in enumerate(recordings):
            text = packed(recording["text"])
            room -= len(text)
            story["recordings"].append({**recording, "text": None, "is_here": room > 0})
            if room > 0:
                file.write(f'<script type="text/plain" id="recording-{number}-{place}">{text}</script>\n')
        file.write(f'<script type="text/plain" id="story-{number}">{packed(json.dumps(story))}</script>\n')
    file.write(f"<script>{script}</script>\n</body>\n</html>\n")


def embedded(data: Any) -> str:
    """JSON that no text in it can lead out of."""
    text = json.dumps(data, ensure_ascii=False, separators=(",", ":"))
    for character, escaped in _UNSAFE.items():
        text = text.replace(character, escaped)
    return text.encode("utf-8", "backslashreplace").decode()


def packed(text: str) -> str:
    raw = text.encode("utf-8", "backslashreplace")
    return base64.b64encode(gzip.compress(raw, 6, mtime=0)).decode()


def _link(file: str, directory: Path) -> list[str]:
    """How it is called, and where it is from the page; relative, so that both may be moved together."""
    where = os.path.relpath(file, directory)
    return [Path(file).name, "./" + quote(os.fsencode(where))]


def _asset(name: str) -> str:
    return files(__package__).joinpath("assets", name).read_text(encoding="utf-8")


def _digest(text: str) -> str:
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
