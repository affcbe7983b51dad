"""What was added to a tree is told, and whatever else was done to it too."""

from __future__ import annotations

import os
import re
import shutil
import threading
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.server.renewal import inventory
from pytest_fargate_sandbox.server.renewal.inventory import Inventory, NotAsBefore

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

ODD = os.fsdecode(b"odd\n\xff")


@pytest.fixture
def tree(tmp_path: Path) -> Path:
    tree = tmp_path / "tree"
    (tree / "etc" / ODD).mkdir(parents=True)
    (tree / "etc" / "passwd").write_text("root")
    (tree / "etc" / ODD / "file").write_text("x")
    (tree / "link").symlink_to("etc")
    (tree / "empty").mkdir()
    return tree


def noted(tree: Path) -> Inventory:
    work = tree.parent / "work"
    work.mkdir(exist_ok=True)
    return Inventory(os.fsencode(work), os.fsencode(tree))


def test_nothing_was_done(tree: Path) -> None:
    (tree / "etc" / "passwd").read_text()
    assert noted(tree).added() == []


def test_what_was_added_is_told_without_what_is_in_it(tree: Path) -> None:
    before = noted(tree)
    (tree / "etc" / ODD / ODD).write_text("")
    (tree / "empty" / "deep" / "er").mkdir(parents=True)
    (tree / "to-etc").symlink_to(tree / "etc")
    os.mkfifo(tree / "pipe")
    shutil.copytree(tree / "etc", tree / "copy")
    added = [tree / "etc" / ODD / ODD, tree / "empty" / "deep", tree / "to-etc", tree / "pipe", tree / "copy"]
    assert sorted(before.added()) == sorted(map(os.fsencode, added))


def test_where_python_looks_for_each_name_from_the_root_on_it_is_the_same(
    tree: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(inventory, "_IS_QUICK", False)
    noted_then = noted(tree)
    (tree / "etc" / ODD / ODD).write_text("")
    assert noted_then.added() == [os.fsencode(tree / "etc" / ODD / ODD)]


def _written_with_its_old_time(tree: Path) -> None:
    before = (tree / "etc" / "passwd").stat()
    (tree / "etc" / "passwd").write_text("tree")
    os.utime(tree / "etc" / "passwd", ns=(before.st_atime_ns, before.st_mtime_ns))


def _replaced(tree: Path) -> None:
    (tree / "new").write_text("root")
    (tree / "new").rename(tree / "etc" / "passwd")


def _link_led_elsewhere(tree: Path) -> None:
    (tree / "link").unlink()
    (tree / "link").symlink_to("empty")


def _directory_in_place_of_a_file(tree: Path) -> None:
    (tree / "etc" / "passwd").unlink()
    (tree / "etc" / "passwd").mkdir()


def _directory_replaced_by_its_copy(tree: Path) -> None:
    shutil.copytree(tree / "etc", tree / "copy", symlinks=True)
    shutil.rmtree(tree / "etc")
    (tree / "copy").rename(tree / "etc")


def _pipe_in_place_of_a_file(tree: Path) -> None:
    (tree / "etc" / "passwd").unlink()
    os.mkfifo(tree / "etc" / "passwd")


DEEDS: dict[str, tuple[Callable[[Path], object], str]] = {
    "written with its old time": (_written_with_its_old_time, "etc/passwd: changed"),
    "mode of a file": (lambda tree: (tree / "etc" / "passwd").chmod(0o600), "etc/passwd: changed"),
    "another name of a file": (lambda tree: os.link(tree / "etc" / "passwd", tree / "other"), "etc/passwd: changed"),
    "mode of a directory": (lambda tree: (tree / "empty").chmod(0o700), "empty: changed"),
    "replaced by a file": (_replaced, "etc/passwd: changed"),
    "link": (_link_led_elsewhere, "link: changed"),
    "replaced by a directory": (_directory_in_place_of_a_file, "etc/passwd: changed"),
    "replaced by a pipe": (_pipe_in_place_of_a_file, "etc/passwd: changed"),
    "directory replaced by its copy": (_directory_replaced_by_its_copy, ": changed"),
    "removed": (lambda tree: (tree / "etc" / "passwd").unlink(), "etc/passwd: there no more"),
    "directory removed": (lambda tree: shutil.rmtree(tree / "etc"), "etc and 3 more: there no more"),
    "moved": (lambda tree: (tree / "etc").rename(tree / "moved"), "etc and 3 more: there no more"),
}


@pytest.mark.parametrize(("deed", "told"), DEEDS.values(), ids=DEEDS)
def test_whatever_else_was_done_to_what_was_there_is_told(
    tree: Path, deed: Callable[[Path], object], told: str
) -> None:
    before = noted(tree)
    deed(tree)
    with pytest.raises(NotAsBefore, match=re.escape(told)):
        before.added()


@pytest.fixture
def restless(tree: Path) -> Iterator[Path]:
    """Somebody makes and removes there all the time: a directory, a pipe in it, and a file."""
    (tree / "restless").mkdir()
    is_over = threading.Event()

    def come_and_go() -> None:
        while not is_over.is_set():
            (tree / "restless" / "d").mkdir()
            os.mkfifo(tree / "restless" / "d" / "pipe")
            (tree / "restless" / "file").write_text("")
            (tree / "restless" / "file").unlink()
            shutil.rmtree(tree / "restless" / "d")

    coming_and_going = threading.Thread(target=come_and_go)
    coming_and_going.start()
    yield tree
    is_over.set()
    coming_and_going.join()


def test_what_goes_away_while_it_is_noted_was_never_there(restless: Path) -> None:
    for _ in range(100):
        noted(restless)


def test_what_goes_away_while_it_is_looked_for_is_there_no_more(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = noted(tree)
    knows = before._knows

    def knows_and_loses(path: bytes) -> bool:
        """Between the listing of a directory and a look at what is in it."""
        if path == os.fsencode(tree / "etc" / "passwd"):
            (tree / "etc" / "passwd").unlink()
        if path == os.fsencode(tree / "empty"):
            (tree / "empty").rmdir()
        return knows(path)

    monkeypatch.setattr(before, "_knows", knows_and_loses)
    with pytest.raises(NotAsBefore, match=r"(etc/passwd, .*empty|empty, .*etc/passwd): there no more"):
        before.added()


def test_what_went_and_came_while_it_was_looked_for_is_told(tree: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = noted(tree)
    walk = before._walk

    def walk_meanwhile(is_known: Callable[[bytes], bool]) -> Iterator[Any]:
        (tree / "etc").rename(tree.parent / "away")
        yield from walk(is_known)
        (tree.parent / "away").rename(tree / "etc")

    monkeypatch.setattr(before, "_walk", walk_meanwhile)
    with pytest.raises(NotAsBefore, match="4 files went and came"):
        before.added()


def test_of_many_that_are_there_no_more_some_are_named(tree: Path) -> None:
    (tree / "many").mkdir()
    for number in range(2500):
        (tree / "many" / f"{number}").touch()
    before = noted(tree)
    shutil.rmtree(tree / "many")
    (tree / "link").unlink()
    with pytest.raises(NotAsBefore, match=r"(link, \S*many|many, \S*link) and 2500 more: there no more"):
        before.added()
