"""Results out of a slot, and out of the machine that it is in: within bounds, and never from beside the workspace."""

from __future__ import annotations

import hashlib
import io
import tarfile
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import RemoteFileError, RemoteFileNotFound, RemoteIsADirectory, RemotePermissionError

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot


class Files:
    """What was collected."""

    def __init__(self) -> None:
        self.contents: dict[str, bytes] = {}

    def begin(self) -> None:
        self.contents = {}

    def file(self, path: str) -> Callable[[bytes], object]:
        self.contents[path] = b""

        def write(data: bytes) -> None:
            self.contents[path] += data

        return write


def test_a_file_is_read_with_what_one_wants_to_know_of_it(slot: Slot) -> None:
    slot.write_file("logs/a.log", "héllo")
    read = slot.artifacts.read("logs/a.log", sha256=True)
    assert (read.path, read.content, read.encoding, read.mime) == ("logs/a.log", "héllo", "text", "text/plain")
    assert (read.bytes, read.file_size, read.truncated) == (6, 6, False)
    assert read.sha256 == hashlib.sha256("héllo".encode()).hexdigest()
    assert abs(read.mtime - time.time()) < 600
    assert slot.artifacts.read(f"{slot.home}/logs/../logs/a.log", bytes).content == "héllo".encode()
    assert slot.artifacts.read("logs/a.log", "base64").content == "aMOpbGxv"
    with pytest.raises(ValueError, match="encoding='rot13': expected 'text', 'base64' or bytes"):
        slot.artifacts.read("logs/a.log", "rot13")


def test_each_says_when_a_limit_bit(slot: Slot) -> None:
    slot.exec("truncate -s 1T sparse; mkdir many; cd many; seq 1 30 | xargs touch; head -c 200000 /dev/urandom >noise")
    read = slot.artifacts.read("sparse", bytes, max_bytes=10)
    assert (read.content, read.bytes, read.file_size, read.truncated) == (bytes(10), 10, 1 << 40, True)
    assert slot.artifacts.read("many/noise", bytes).truncated is False
    listed = slot.artifacts.list("many", max_entries=3)
    assert ([each.path for each in listed], listed.truncated) == (["many/1", "many/10", "many/11"], True)
    assert (len(slot.artifacts.list("many", max_entries=31)), slot.artifacts.list("many").truncated) == (31, False)
    packed = slot.artifacts.archive("many", io.BytesIO(), max_entries=31)
    assert (packed.entry_count, packed.truncated) == (31, False)
    assert slot.artifacts.archive("many", io.BytesIO(), max_entries=30).truncated is True
    with pytest.raises(RemoteFileError, match=r"the archive of many has 20\d{4} bytes, and may have 100000") as error:
        slot.artifacts.archive("many", io.BytesIO(), max_bytes=100_000)
    assert (error.value.kind, error.value.size // 10_000) == ("too_large", 20)
    with pytest.raises(RemoteFileError, match="has 1099511627776 bytes"):
        slot.artifacts.archive("sparse", io.BytesIO())
    with pytest.raises(ValueError, match="max_bytes=0: expected a whole number above 0"):
        slot.artifacts.read("sparse", max_bytes=0)


def test_a_listing_tells_links_as_what_they_lead_to_inside(slot: Slot) -> None:
    slot.exec("mkdir d; echo x >d/f; ln -s d/f in; ln -s d dir; ln -s /etc out; mkfifo pipe; touch -d @9999999999 late")
    listed = {each.path: each for each in slot.artifacts.list(recursive=True)}
    assert sorted(listed) == ["d", "d/f", "dir", "in", "late", "out", "pipe"]
    assert (listed["in"].size, listed["in"].is_dir, listed["dir"].is_dir) == (2, False, True)
    assert (listed["out"].is_dir, listed["out"].size) == (False, 4)
    assert listed["late"].mtime == 9999999999
    assert [each.path for each in slot.artifacts.list("d/f")] == ["d/f"]


def test_an_archive_has_files_and_says_what_it_cannot_have(slot: Slot) -> None:
    slot.exec("mkdir -p d/deep; echo x >d/deep/f; ln -s deep/f d/in; ln -s /etc/passwd d/out; mkfifo d/pipe")
    packed = io.BytesIO()
    told = slot.artifacts.archive("d", packed)
    assert told.refused == (
        f"d/out: {slot.home}/d/out leads out of the workspace",
        "d/pipe: not a regular file",
    )
    packed.seek(0)
    with tarfile.open(fileobj=packed, mode="r:gz") as archive:
        assert {each.name: each.size for each in archive} == {"d/deep": 0, "d/in": 2, "d/deep/f": 2}


OUTSIDE = ["/etc/passwd", "../../{neighbour}/home/secret", "link", "deep/link", "climb", "{other}/secret", "dir/passwd"]


@pytest.mark.parametrize("path", OUTSIDE)
def test_nothing_beside_the_workspace_is_read_listed_or_packed(slot: Slot, neighbour: Slot, path: str) -> None:
    neighbour.exec("echo secret >secret; chmod 777 . secret")
    slot.exec("mkdir deep; ln -s /etc/passwd link; ln -s ../link deep/link; ln -s ../../../etc climb; ln -s /etc dir")
    path = path.format(neighbour=neighbour.number, other=neighbour.home)
    for act in (slot.artifacts.read, slot.artifacts.list, lambda path: slot.artifacts.archive(path, io.BytesIO())):
        with pytest.raises(RemotePermissionError, match="leads out of the workspace"):
            act(path)
    files = Files()
    assert slot.artifacts.collect([path, "**/passwd"], files).refused
    assert files.contents == {}


def test_what_is_no_file_is_refused_at_once(slot: Slot) -> None:
    slot.exec("mkdir d; mkfifo pipe; ln -s loop loop; ln -s nowhere dangling")
    with pytest.raises(RemoteIsADirectory):
        slot.artifacts.read("d")
    with pytest.raises(RemoteFileError, match="not a regular file: pipe"):
        slot.artifacts.read("pipe")
    with pytest.raises(RemoteFileError, match="symbolic links"):
        slot.artifacts.read("loop")
    with pytest.raises(RemoteFileNotFound):
        slot.artifacts.read("dangling")


SWAP = """
import os
while True:
    for pair in (("d", "x"), ("link", "d"), ("d", "link"), ("x", "d")):
        os.rename(*pair)
"""


def test_who_swaps_a_directory_for_a_link_gains_nothing(slot: Slot) -> None:
    slot.exec("mkdir d; echo inside >d/hostname; ln -s /etc link")
    swapper = slot.spawn(["python3", "-c", SWAP])
    files = Files()
    seen = set()
    for _ in range(25):
        slot.artifacts.collect(["d", "d/host*", "**/hostname"], files)
        seen |= set(files.contents.values())
        try:
            seen.add(slot.artifacts.read("d/hostname", bytes).content)
        except (RemoteFileNotFound, RemotePermissionError):
            pass
    assert swapper.poll() is None
    swapper.kill()
    assert seen == {b"inside\n"}


def test_globs_collect_files_within_bounds(slot: Slot, machine: EcsFargateSandbox) -> None:
    slot.exec(
        "mkdir -p logs/a/b '.hid den'; echo 1 >logs/1.log; echo 2 >logs/a/b/2.log; echo 3 >logs/a/x.txt;"
        "echo 4 >'.hid den/4.log'; echo '<x/>' >report.xml; head -c 6000000 /dev/zero >large;"
        "echo x >\"$(printf 'a\\nb')\""
    )
    files = Files()
    told = slot.artifacts.collect(["**/*.log", "report.xml", "logs/?.log", "none*", "nowhere/x", "lar[g-h]e"], files)
    assert sorted(files.contents) == [".hid den/4.log", "large", "logs/1.log", "logs/a/b/2.log", "report.xml"]
    assert told.unmatched == ("nowhere/x", "none*")
    assert [(each.bytes, each.file_size) for each in told.files if each.truncated] == [(5_000_000, 6_000_000)]
    assert slot.artifacts.collect(["logs"], files).files[0].path == "logs/1.log"
    assert set(files.contents) == {"logs/1.log", "logs/a/x.txt", "logs/a/b/2.log"}
    slot.artifacts.collect(["a?b", "logs/**/x.*"], files)
    assert set(files.contents) == {"a\nb", "logs/a/x.txt"}
    machine.artifacts.collect([f"{slot.home}/logs/**", "/proc/self/status"], files)
    assert {each.rpartition("/")[2] for each in files.contents} == {"1.log", "2.log", "x.txt", "status"}


def test_what_is_read_is_read_with_the_tenants_rights(slot: Slot, machine: EcsFargateSandbox) -> None:
    machine.exec(
        f"cd {slot.home} && mkdir -m 700 of-root && echo x >of-root/f && install -m 600 /dev/null not-his"
    ).check()
    with pytest.raises(RemotePermissionError, match="Permission denied: not-his"):
        slot.artifacts.read("not-his")
    files = Files()
    assert slot.artifacts.collect(["**"], files).refused == ("not-his: Permission denied", "of-root: Permission denied")
    assert files.contents == {}
    machine.exec(f"cd {slot.home} && rm -r of-root not-his").check()


def test_a_glob_that_is_hard_to_match_keeps_nobody(slot: Slot) -> None:
    slot.write_file("a" * 255, "x")
    began = time.monotonic()
    assert slot.artifacts.collect(["*a" * 30 + "b"], Files()).unmatched
    assert time.monotonic() - began < 5


def test_a_file_that_grows_while_it_is_read_has_an_end(slot: Slot) -> None:
    grower = slot.spawn("while :; do cat /bin/sh >>grows; sleep 0.01; done")
    while not slot.exec("test -s grows").ok:
        pass
    assert slot.artifacts.read("grows", bytes, max_bytes=3_000_000).bytes <= 3_000_000
    assert slot.artifacts.collect(["grows"], Files()).files[0].bytes <= 5_000_000
    slot.artifacts.archive("grows", io.BytesIO(), max_bytes=100_000_000)
    grower.kill()


def test_trees_of_any_depth_are_walked_to_a_bound(slot: Slot) -> None:
    slot.exec(["python3", "-c", 'import os\nfor _ in range(600): os.mkdir("d"), os.chdir("d")'])
    listed = slot.artifacts.list(recursive=True)
    assert len(listed) == 257
    assert "File name too long" in listed.refused[0]


def test_many_at_once_do_not_mix(slot: Slot, neighbour: Slot, machine: EcsFargateSandbox) -> None:
    seen: list[bool] = []

    def ask(who: Slot, text: str) -> None:
        who.write_file("file", text)
        seen.extend(who.artifacts.read("file").content == text for _ in range(20))

    threads = [threading.Thread(target=ask, args=each) for each in ((slot, "one"), (neighbour, "two"))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert seen == [True] * 40
    assert machine.artifacts.read(f"{slot.home}/file").content == "one"
