"""Where everybody may leave files is found wherever it is, and not looked for where nothing can be."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests import warm_python

if TYPE_CHECKING:
    from pathlib import Path

LOOK = """
import json, os, sys
from pytest_fargate_sandbox.server.slots.shared_places import open_to_all

looked_into = []
sys.addaudithook(lambda name, args: looked_into.append(args[0]) if name == "os.scandir" else None)
top = os.fsencode(sys.argv[1])
for counting in (None, os.lstat(top).st_dev):
    found = open_to_all(top, {top + b"/closed"}, range(0), counting)
    print(json.dumps([sorted(map(os.fsdecode, found)), sorted(map(os.fsdecode, looked_into))]))
    looked_into.clear()
"""

WITH_ANOTHER_ROOT = """
mount -t "$2" test "$1"
for each in /*; do
    if [ -L "$each" ]; then cp -P "$each" "$1"
    elif [ -d "$each" ]; then mkdir "$1$each"; mount --rbind "$each" "$1$each"
    fi
done
root=$1
shift 2
exec chroot "$root" "$@"
"""
COUNTS = """
import os
from pytest_fargate_sandbox.server.slots.shared_places import counting_device
print(counting_device() == os.lstat("/").st_dev)
"""


def test_a_directory_whose_links_say_that_none_is_in_it_is_not_looked_into(tmp_path: Path) -> None:
    for name in ("closed/open", "deep/er/open", "open/open", "plain/file"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("open")
    for path in tmp_path.rglob("open"):
        path.chmod(0o1777)
    done = warm_python.run("-c", LOOK, str(tmp_path))
    (found, looked_into), (by_links, seldom) = map(json.loads, done.stdout.splitlines())
    assert found == by_links == [str(tmp_path / name) for name in ("deep/er/open", "open", "open/open")]
    assert seldom == [path for path in looked_into if os.lstat(path).st_nlink != 2]


@pytest.mark.root
@pytest.mark.parametrize(("kind", "is_known"), [("tmpfs", True), ("ramfs", False)])
def test_links_count_where_the_kind_of_the_roots_file_system_is_known(
    tmp_path: Path, kind: str, is_known: bool
) -> None:
    command = ["unshare", "--mount", "sh", "-ec", WITH_ANOTHER_ROOT, "sh", tmp_path, kind, sys.executable, "-c", COUNTS]
    assert subprocess.check_output(command, text=True) == f"{is_known}\n"
