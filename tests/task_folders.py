"""Task folders made for tests: all run on the engine's own image, and are over at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

TOML = '[environment]\ndocker_image = "host"\nworkdir = "/app"\n'
SOLVE = "#!/bin/bash\necho hello > hello.txt\n"
TEST = """#!/bin/bash
if grep -qx hello hello.txt; then echo 1; else echo 0; fi > /logs/verifier/reward.txt
"""


def make_task(
    folder: Path,
    *,
    toml: str = TOML,
    solve: str | bytes | None = SOLVE,
    test: str | bytes | None = TEST,
    files: Mapping[str, str | bytes] | None = None,
) -> Path:
    """A task: write hello into hello.txt. ``files`` are others; what is None is not there."""
    contents = {
        "task.toml": toml,
        "instruction.md": "Write hello into hello.txt.\n",
        "solution/solve.sh": solve,
        "tests/test.sh": test,
        **(files or {}),
    }
    for name, content in contents.items():
        if content is not None:
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(content.encode() if isinstance(content, str) else content)
    return folder
