"""A command line that tells in a sentence what is wrong with it; argparse puts a screen of usage before that.

An empty value is a variable of a script's that nobody has set: it is told, and taken neither for the beginning of all
names (`stop "$TASK"`) nor for the directory one is in. What may be empty has the type ``str``.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from typing import NoReturn


class TerseParser(argparse.ArgumentParser):
    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.register("type", None, _not_empty)
        self.register("type", Path, lambda text: Path(_not_empty(text)))

    def error(self, message: str) -> NoReturn:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _not_empty(text: str) -> str:
    if not text:
        raise argparse.ArgumentTypeError("expected a value, and it is empty")
    return text
