"""Which version of Inspect it is."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import requires, version
from typing import TYPE_CHECKING

from packaging.requirements import Requirement

if TYPE_CHECKING:
    from pathlib import Path


def test_the_inspect_that_is_tried_is_one_of_those_that_the_extra_names() -> None:
    named = [Requirement(each) for each in requires("pytest-fargate-sandbox") or []]
    [inspect] = [each for each in named if each.name == "inspect-ai"]
    assert inspect.specifier.contains(version("inspect-ai"))


def test_inspect_says_of_a_version_that_it_is_none_of_those(tmp_path: Path) -> None:
    """Its metadata come first on the path, as those of an installation of one's own would."""
    told = tmp_path / "inspect_ai-0.3.99.dist-info"
    told.mkdir()
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: inspect-ai\nVersion: 0.3.99\n")
    program = f"import sys; sys.path.insert(0, {str(tmp_path)!r}); sys.argv[1:] = ['sandbox', 'cleanup', 'fargate']"
    start = "from inspect_ai._cli.main import main; main()"
    done = subprocess.run([sys.executable, "-c", f"{program}; {start}"], stderr=subprocess.PIPE, text=True, check=False)
    assert done.returncode == 1
    assert "inspect-ai 0.3.99 is installed, and this version of pytest-fargate-sandbox is for inspect-ai" in done.stderr
