"""What has become of a tree since a snapshot of it, or since it was remembered, exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import Changes, SandboxError, UnsafeArchiveError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

TREE = r"""
import os
os.umask(0o022)
os.makedirs("src/deep/er"); os.makedirs("gone/with it"); os.makedirs("was a directory"); os.mkdir("empty")
for name in ("same", "touched", "edited", "backdated", "rewritten", "mode", "renamed", "src/deep/er/f",
             "gone/with it/f", "was a directory/f", "was a file", "new\nline", b"not utf-8 \xff", "cache.pyc"):
    with open(name, "wb") as file: file.write(b"content")
os.link("same", "hard link"); os.symlink("same", "link"); os.symlink("same", "remade link")
with open("holes", "wb") as file: file.truncate(1 << 40)
os.mkfifo("pipe"); os.mkdir("closed")
"""

CHANGE = r"""
import os
def put(name, data=b"CONTENT"):
    with open(name, "wb") as file: file.write(data)
before = os.stat("backdated")
put("edited"); put("backdated"); os.utime("backdated", ns=(before.st_atime_ns, before.st_mtime_ns))
put("rewritten", b"content"); os.utime("touched"); os.chmod("mode", 0o600); os.rename("renamed", "by this name")
os.remove("gone/with it/f"); os.rmdir("gone/with it"); os.rmdir("gone")
os.remove("was a directory/f"); os.rmdir("was a directory"); put("was a directory")
os.remove("was a file"); os.mkdir("was a file"); put("was a file/f")
os.remove("link"); os.symlink("edited", "link"); os.remove("remade link"); os.symlink("same", "remade link")
os.remove("hard link"); put("hard link", b"content"); put("new\nline"); put(b"not utf-8 \xff"); put("cache.pyc")
os.makedirs("new/tree"); put("new/tree/f"); put(".fargate-sandbox-staging-hidden"); put("src/deep/er/added")
os.mkfifo("another pipe"); os.truncate("holes", 1 << 39)
"""

ALL = Changes(
    added=(
        ".fargate-sandbox-staging-hidden",
        "another pipe",
        "by this name",
        "new",
        "new/tree",
        "new/tree/f",
        "src/deep/er/added",
        "was a file/f",
    ),
    modified=(
        "backdated",
        "edited",
        "holes",
        "link",
        "mode",
        "new\nline",
        "not utf-8 \udcff",
        "was a directory",
        "was a file",
    ),
    removed=("gone", "gone/with it", "gone/with it/f", "renamed", "was a directory/f"),
)


def _python(workspace: Slot | EcsFargateSandbox, program: str, cwd: str) -> None:
    workspace.exec(["python3", "-c", program], cwd=cwd, check=True)


def _of_its_save(slot: Slot) -> Callable[[], Changes]:
    snapshot = slot.save(exclude=["**/*.pyc"])
    return lambda: slot.changes(since=snapshot)


def _of_what_it_remembers(slot: Slot) -> Callable[[], Changes]:
    start = slot.remember(exclude=["**/*.pyc"])
    return lambda: slot.changes(since=start)


def _since_its_start(slot: Slot) -> Callable[[], Changes]:
    slot.remember(exclude=["**/*.pyc"])
    return slot.changes


@pytest.mark.parametrize("start", [_of_its_save, _of_what_it_remembers, _since_its_start])
def test_each_change_is_told_and_nothing_else(slot: Slot, start: Callable[[Slot], Callable[[], Changes]]) -> None:
    _python(slot, TREE, slot.home)
    changes = start(slot)
    assert changes() == Changes()
    assert not changes()
    _python(slot, CHANGE, slot.home)
    assert changes() == ALL
    assert changes() == ALL


def test_a_workspace_that_was_loaded_is_compared_with_what_was_loaded(
    slot: Slot, neighbour: Slot, machine: EcsFargateSandbox
) -> None:
    _python(slot, TREE + 'os.chown("mode", -1, os.getgid())', slot.home)
    snapshot = slot.save(exclude=["**/*.pyc"])
    neighbour.write_file("mine", "was there")
    neighbour.load(snapshot)
    machine.load(snapshot, "/tmp/loaded")
    as_it_is_here = Changes(ALL.added, ALL.modified, ALL.removed)
    for workspace, home in ((neighbour, neighbour.home), (machine, "/tmp/loaded")):
        path = home if workspace is machine else "."
        only = ("mine",) if workspace is neighbour else ()
        assert workspace.changes(path=path) == Changes(added=only)
        _python(workspace, CHANGE, home)
        found = workspace.changes(since=snapshot, path=path)
        assert Changes(tuple(sorted({*found.added} - {*only})), found.modified, found.removed) == as_it_is_here
    machine.exec("chown 1234 /tmp/loaded/same; rm -r /tmp/loaded/new", check=True)
    changes = machine.changes(path="/tmp/loaded")
    assert "same" in changes.modified
    assert "new/tree/f" not in changes.added
    machine.exec("rm -r /tmp/loaded")
    assert {*machine.changes(path="/tmp/loaded").removed} >= {"same", "src/deep/er/f"}


def test_a_workspace_that_has_never_seen_the_snapshot_is_compared_with_it(slot: Slot, neighbour: Slot) -> None:
    _python(slot, TREE, slot.home)
    snapshot = slot.save(exclude=["**/*.pyc", "holes"])
    _python(neighbour, TREE, neighbour.home)
    neighbour.exec("rm pipe holes")
    assert neighbour.changes(since=snapshot) == Changes()
    _python(neighbour, CHANGE.replace('os.truncate("holes", 1 << 39)', ""), neighbour.home)
    without_holes = tuple(name for name in ALL.modified if name != "holes")
    assert neighbour.changes(since=snapshot.path) == Changes(ALL.added, without_holes, ALL.removed)


def test_what_changes_within_a_tick_of_the_clock_is_told(slot: Slot) -> None:
    start = "import os\nos.chdir(os.environ['HOME'])\nfor name in range(50): open(f'f{name}', 'w').write('a')\n"
    for _ in range(3):
        snapshot_of = slot.exec(["python3", "-c", start], check=True)
        assert snapshot_of.ok
        snapshot = slot.save()
        slot.exec("for f in f*; do echo -n b >$f; done", check=True)
        assert len(slot.changes(since=snapshot).modified) == 50


def test_a_slot_began_empty(slot: Slot) -> None:
    assert slot.changes() == Changes()
    slot.exec("mkdir -p a/b; echo >a/b/c; ln -s nowhere d")
    assert slot.changes() == Changes(added=("a", "a/b", "a/b/c", "d"))
    assert slot.changes(path="a") == Changes(added=("b", "b/c"))
    slot.remember("a")
    slot.reset()
    assert slot.changes() == Changes()


def test_what_may_not_be_looked_into_is_told(slot: Slot) -> None:
    slot.exec("mkdir closed; echo >closed/f; echo >secret", check=True)
    start = slot.remember()
    slot.exec("chmod 0 closed secret; mkdir -p made/so; chmod 0 made", check=True)
    assert slot.changes(since=start) == Changes(
        added=("made",),
        modified=("closed", "secret"),
        unseen=("closed: Permission denied", "made: Permission denied"),
    )
    slot.exec("chmod -R u+rwx .")


def test_a_tree_deeper_than_anybody_walks_is_told(slot: Slot) -> None:
    slot.exec(
        ["python3", "-c", "import os\nfor _ in range(400):\n os.mkdir('d'); os.chdir('d')\nopen('f', 'w')"], check=True
    )
    changes = slot.changes()
    assert len(changes.added) == 256
    assert changes.unseen == ("/".join(["d"] * 256) + ": lies too deep",)


def test_what_is_wrong_with_the_question_is_said(slot: Slot, machine: EcsFargateSandbox, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"since: nobody knows what /etc was like: give a snapshot of it, or what"):
        machine.changes(path="/etc")
    start = slot.remember()
    with pytest.raises(ValueError, match=r"nobody knows what b was like: .* before the changes; what is known is \.$"):
        slot.changes(path="b")
    with pytest.raises(ValueError, match="path='a': what was remembered is"):
        slot.changes(since=start, path="a")
    with pytest.raises(SandboxError, match=r"does not know any more what . was like"):
        machine.changes(since=start)
    (tmp_path / "broken").write_text("x")
    with pytest.raises(UnsafeArchiveError, match="is no whole snapshot"):
        slot.changes(since=tmp_path / "broken")
    with pytest.raises(ValueError, match=r"exclude: '../x' is no path below the directory that is meant"):
        slot.remember(exclude=["../x"])
