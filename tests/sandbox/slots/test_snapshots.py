"""A prepared tree is saved out of one workspace and loaded into another, with all that is known of it."""

from __future__ import annotations

import hashlib
import subprocess
import tarfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import (
    RemoteFileError,
    RemoteFileNotFound,
    RemotePermissionError,
    Snapshot,
    UnsafeArchiveError,
)
from pytest_fargate_sandbox.server.snapshots.snapshot_format import Facts

if TYPE_CHECKING:
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from pytest_fargate_sandbox.sandbox.slots.slot import Slot

ODD = r"""
import os, socket
os.umask(0o022)
os.makedirs("tree/plain/node_modules"); os.chdir("tree")
def put(name, data=b"x", mode=0o644, mtime=1_600_000_000_123_456_789):
    with open(name, "wb") as file: file.write(data)
    os.chmod(name, mode); os.utime(name, ns=(mtime, mtime))
put("plain/a"); put("plain/setuid", mode=0o4755); put("plain/secret", mode=0o600); put("empty", b"")
put("plain/node_modules/much"); put("plain/b.pyc"); put("large", os.urandom(700_001), mtime=-5_000_000_000)
put(b"not utf-8 \xff\xfe"); put("new\nline"); put(b"n" * 255); put("\u65e5\u672c" * 30); put(" = FARGATE.snapshot={}")
os.link("plain/a", "same"); os.symlink("/etc/passwd", "absolute"); os.symlink("../../..", "up");
os.symlink(b"\xff", "odd")
with open("holes", "wb") as file:
    file.truncate(1 << 40); file.seek(5_000_000); file.write(b"in between")
    file.seek((1 << 40) - 3); file.write(b"end")
with open("one hole", "wb") as file: file.truncate(1 << 33)
os.mkfifo("fifo"); socket.socket(socket.AF_UNIX).bind("socket")
deep = "/".join(["d"] * 200); os.makedirs(deep); put(deep + "/end")
os.mkdir("sticky"); os.chmod("sticky", 0o1777)
os.mkdir("closed"); put("closed/in it"); os.chmod("closed", 0o555); os.utime("closed", ns=(7, 7))
try: os.setxattr("large", "user.origin", b"a=\0\n\xff")
except OSError: pass
"""

LOOK = r"""
import hashlib, os, stat
for path, directories, files in os.walk(b"."):
    for name in sorted([*directories, *files]):
        full = os.path.join(path, name)
        status = os.lstat(full)
        told = [full, oct(status.st_mode), status.st_mtime_ns, status.st_uid - os.getuid()]
        if stat.S_ISLNK(status.st_mode): told.append(os.readlink(full))
        elif stat.S_ISREG(status.st_mode):
            told += [status.st_size, status.st_nlink, os.listxattr(full)]
            if status.st_size > 1 << 30: told.append(status.st_blocks)
            if status.st_size < 1 << 30: told.append(hashlib.sha256(open(full, "rb").read()).hexdigest())
        print(told)
"""


def _python(workspace: Slot | EcsFargateSandbox, program: str, cwd: str) -> str:
    return workspace.exec(["python3", "-c", program], cwd=cwd, check=True).stdout


@pytest.fixture
def odd(slot: Slot) -> Slot:
    _python(slot, ODD, slot.home)
    return slot


def _seen(workspace: Slot | EcsFargateSandbox, cwd: str) -> list[str]:
    return sorted(_python(workspace, LOOK, cwd).splitlines())


def test_all_that_is_known_of_a_tree_is_the_same_elsewhere(
    odd: Slot, neighbour: Slot, machine: EcsFargateSandbox, tmp_path: Path
) -> None:
    there = f"{odd.home}/tree"
    excluded = ["tree/**/node_modules", "**/*.pyc"]
    snapshot = odd.save(exclude=excluded, to=tmp_path / "odd.tar")
    with pytest.raises(RemoteFileError, match=rf"more than {snapshot.members - 1} files and directories"):
        odd.save(exclude=excluded, max_members=snapshot.members - 1)
    assert odd.save(exclude=excluded, max_members=snapshot.members).members == snapshot.members
    odd.exec("rm -r tree/plain/node_modules tree/plain/b.pyc tree/fifo tree/socket")
    odd.exec("touch -d @1600000000 tree/plain")
    before = _seen(odd, there)
    assert snapshot.left_out == ("tree/fifo: a FIFO", "tree/socket: a socket")
    assert (snapshot.size, snapshot) == ((tmp_path / "odd.tar").stat().st_size, Snapshot.open(tmp_path / "odd.tar"))
    assert snapshot.size < 2_000_000
    neighbour.write_file("tree/plain/mine", "stays")
    neighbour.load(snapshot)
    assert neighbour.read_file("tree/plain/mine") == b"stays"
    neighbour.exec("rm tree/plain/mine; touch -d @1600000000 tree/plain")
    assert _seen(neighbour, f"{neighbour.home}/tree") == before
    machine.load(tmp_path / "odd.tar", "/tmp/loaded")
    machine.exec("touch -d @1600000000 /tmp/loaded/tree/plain")
    assert _seen(machine, "/tmp/loaded/tree") == before
    machine.exec("chown -R 1234:4321 /tmp/loaded/tree/sticky; chgrp 42 /tmp/loaded/tree/empty", check=True)
    again = machine.save("/tmp/loaded/tree", max_members=1000)
    assert machine.load(again, "/tmp/once more") == ()
    owners = machine.exec("cd '/tmp/once more'; stat -c %u:%g sticky empty large").stdout
    assert owners == "1234:4321\n0:42\n0:0\n"
    not_kept = ("empty: its owner, 0:42", "sticky: its owner, 1234:4321")
    assert neighbour.load(again, "as a user") == not_kept
    assert machine.load(again, "/tmp/as a user", user="1234") == not_kept
    assert machine.exec("stat -c %u '/tmp/as a user/empty'").stdout == "1234\n"
    machine.exec("rm -r '/tmp/as a user' /tmp/loaded '/tmp/once more'")


def test_any_tar_reads_it(slot: Slot, tmp_path: Path) -> None:
    slot.exec("truncate -s 5M holes; echo end >>holes; mkdir d; echo x >d/a; ln d/a b")
    slot.save(to=tmp_path / "saved.tar")
    subprocess.run(["tar", "-xf", "saved.tar"], cwd=tmp_path, check=True)
    assert (tmp_path / "holes").read_bytes() == bytes(5 << 20) + b"end\n"
    assert (tmp_path / "holes").stat().st_blocks < 100
    assert (tmp_path / "b").samefile(tmp_path / "d/a")


def test_its_file_goes_with_it(slot: Slot) -> None:
    slot.write_file("a", "a")
    snapshot = slot.save()
    path = snapshot.path
    assert path.is_file()
    del snapshot
    assert not path.exists()


def test_one_that_was_cut_or_changed_is_refused_and_changes_nothing(slot: Slot, tmp_path: Path) -> None:
    slot.write_file("a", b"A" * 3000)
    slot.exec("ln -s a b; truncate -s 1M c; mkfifo d")
    whole = slot.save(to=tmp_path / "whole").path.read_bytes()
    slot.exec("rm -r *")
    broken = tmp_path / "broken"
    cuts = [whole[: len(whole) * tenth // 10] for tenth in range(10)]
    flips = [whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :] for at in range(0, len(whole), 1201)]
    for content in [*cuts, *flips, whole + whole, whole[:-512] + b"x" * 512, bytes(2048)]:
        broken.write_bytes(content)
        with pytest.raises(UnsafeArchiveError):
            slot.load(broken)
    assert slot.exec("ls -A").stdout == ""
    slot.load(tmp_path / "whole")
    assert slot.read_file("b") == b"A" * 3000


def _hostile(name: str, kind: bytes = tarfile.REGTYPE, link: str = "", **about: str) -> bytes:
    info = tarfile.TarInfo(name)
    info.type, info.linkname, info.pax_headers = kind, link, about
    return info.tobuf(tarfile.PAX_FORMAT, "utf-8", "surrogateescape")


_SPARSE = {"GNU.sparse.major": "1", "GNU.sparse.minor": "0"}


@pytest.mark.parametrize(
    ("members", "why"),
    [
        ([_hostile("../out")], "wants to leave its tree"),
        ([_hostile("/etc/out")], "has an absolute path"),
        ([_hostile("link", tarfile.SYMTYPE, "/tmp"), _hostile("link/out")], "lies behind a link"),
        ([_hostile("twice"), _hostile("twice")], "stands there twice"),
        ([_hostile("disk", tarfile.BLKTYPE)], "is neither a file, a directory nor a link"),
        ([_hostile("pipe", tarfile.FIFOTYPE)], "is neither a file, a directory nor a link"),
        ([_hostile("hard", tarfile.LNKTYPE, "/etc/passwd")], "which is no file before it"),
        ([_hostile("holes", **_SPARSE, **{"GNU.sparse.realsize": "9"})], "has holes that cannot be"),
        ([_hostile("old", tarfile.GNUTYPE_SPARSE)], "is sparse"),
        ([_hostile("whose", uid="-1")], "belongs to nobody"),
        ([_hostile("when", mtime="1.x")], "has a time|no number"),
    ],
)  # fmt: skip
def test_one_that_somebody_made_up_is_refused(slot: Slot, tmp_path: Path, members: list[bytes], why: str) -> None:
    slot.write_file("mine", "mine")
    content = b"".join(members)
    end = Facts().end(hashlib.sha256(content))
    (tmp_path / "made").write_bytes(content + end)
    with pytest.raises(UnsafeArchiveError, match=why):
        slot.load(tmp_path / "made")
    assert slot.exec("ls -A").stdout == "mine\n"


def test_one_of_another_architecture_is_refused(slot: Slot, tmp_path: Path) -> None:
    content = _hostile("tool")
    (tmp_path / "made").write_bytes(content + Facts(machine="pdp11").end(hashlib.sha256(content)))
    assert Snapshot.open(tmp_path / "made").machine == "pdp11"
    with pytest.raises(UnsafeArchiveError, match=r"saved on 'pdp11', and this is \w+; nothing was changed: save one w"):
        slot.load(tmp_path / "made")
    assert slot.exec("ls -A").stdout == ""


def test_no_attribute_makes_somebody_more_than_he_is(slot: Slot, tmp_path: Path) -> None:
    capability = b"\1\0\0\2\xff\xff\xff\xff\0\0\0\0\0\0\0\0\0\0\0\0".decode("utf-8", "surrogateescape")
    content = _hostile("tool", **{"SCHILY.xattr.security.capability": capability, "SCHILY.xattr.trusted.x": "x"})
    (tmp_path / "made").write_bytes(content + Facts().end(hashlib.sha256(content)))
    slot.load(tmp_path / "made")
    assert _python(slot, "import os; print(os.listxattr('tool'))", slot.home) == "[]\n"


def test_who_wants_no_programs_that_run_as_their_owner_gets_none(slot: Slot) -> None:
    slot.exec("mkdir -p a/b a/sticky && touch a/x && chmod 6755 a/b a/x && chmod 1777 a/sticky", check=True)
    saved = slot.save("a")
    slot.load(saved, "kept")
    slot.load(saved, "without", set_ids=False)
    look = "stat -c %a kept/b kept/x without/b without/x without/sticky"
    assert slot.exec(look).stdout.split() == ["6755", "6755", "755", "755", "1777"]


def test_what_is_wrong_with_a_wish_is_said(slot: Slot, tmp_path: Path) -> None:
    with pytest.raises(RemoteFileNotFound, match="nowhere"):
        slot.save("nowhere")
    with pytest.raises(FileNotFoundError):
        slot.load(tmp_path / "nowhere")
    with pytest.raises(ValueError, match="exclude='x': expected a list of globs"):
        slot.save(exclude="x")
    with pytest.raises(ValueError, match=r"exclude: '../x' is no path below the directory that is meant"):
        slot.save(exclude=["../x"])


def test_a_slot_reaches_no_further_with_it_than_its_user_does(slot: Slot, neighbour: Slot) -> None:
    slot.exec("mkdir c; echo secret >closed; chmod 0 closed; echo x >c/f", check=True)
    snapshot = slot.save()
    assert snapshot.left_out == ("closed: Permission denied",)
    with pytest.raises(RemotePermissionError, match=neighbour.home):
        slot.save(neighbour.home)
    with pytest.raises(RemotePermissionError, match=neighbour.home):
        slot.load(snapshot, neighbour.home)
    neighbour.exec("ln -s /tmp c; echo mine >b")
    with pytest.raises(RemoteFileError, match=f"no directory, and nothing was changed: {neighbour.home}/c$"):
        neighbour.load(snapshot)
    assert neighbour.exec("ls -A; readlink c").stdout == "b\nc\n/tmp\n"
