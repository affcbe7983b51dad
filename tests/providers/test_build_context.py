from __future__ import annotations

import io
import os
import tarfile
import time
import zipfile
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.build_context import TAR_NAME, ArchiveReader, context_entries
from pytest_fargate_sandbox.providers.images.context_tree import checked_context
from pytest_fargate_sandbox.providers.images.dockerignore import ignore_rules

if TYPE_CHECKING:
    from pathlib import Path


def _packed(directory: Path) -> tarfile.TarFile:
    with ArchiveReader(context_entries(directory)) as reader:
        archive = zipfile.ZipFile(io.BytesIO(b"".join(iter(lambda: reader.read(65536), b""))))
    assert archive.testzip() is None
    return tarfile.open(fileobj=io.BytesIO(archive.read(TAR_NAME)))


def test_modes_links_and_empty_directories_survive(tmp_path: Path) -> None:
    (tmp_path / "run.sh").write_text("#!/bin/sh\n")
    (tmp_path / "run.sh").chmod(0o4751)
    (tmp_path / "link").symlink_to("run.sh")
    (tmp_path / "dangling").symlink_to("/nowhere")
    (tmp_path / "empty").mkdir(mode=0o711)
    (tmp_path / ("long" * 50)).write_text("long name")
    os.mkfifo(tmp_path / "pipe")

    packed = _packed(tmp_path)

    members = {member.name: member for member in packed}
    assert sorted(members) == sorted(["run.sh", "link", "dangling", "empty", "long" * 50])
    assert members["run.sh"].mode == 0o4751
    assert members["link"].linkname == "run.sh"
    assert members["dangling"].linkname == "/nowhere"
    assert members["empty"].isdir()
    assert members["empty"].mode == 0o711
    stored = packed.extractfile("long" * 50)
    assert stored is not None
    assert stored.read() == b"long name"


@pytest.mark.parametrize(
    ("rules", "left_out", "sent"),
    [
        ("*.pyc", ["a.pyc"], ["d/a.pyc", "a.py"]),
        ("**/*.pyc", ["a.pyc", "d/e/a.pyc"], ["a.py"]),
        ("node_modules", ["node_modules/x/y"], ["a/node_modules"]),
        ("/build/", ["build/x"], ["src/build"]),
        ("*\n!keep\n!d/in", ["drop", "d/out"], ["keep", "d/in", "Dockerfile"]),
        ("# comment\n\n  d/?.txt ", ["d/a.txt"], ["d/ab.txt"]),
        ("d/**", ["d/a", "d/e/f"], ["e/d"]),
        ("[ab].txt", ["a.txt"], ["c.txt"]),
        ("[[&&~].txt", ["[.txt", "&.txt"], ["c.txt"]),
        (r"[\[\]-].txt", ["[.txt", "-.txt"], ["c.txt"]),
        (r"[\dq-\s].txt", ["d.txt", "r.txt"], ["1.txt", " .txt"]),
        ("[+--].txt", ["+.txt", ",.txt"], ["a.txt"]),
        ("a/**/z", ["a/z", "a/b/c/z"], ["z"]),
        (r"\!odd", ["!odd"], ["odd"]),
        ("**/a*b*c/**/z", ["abc/z", "d/a-b-c/e/f/z/in"], ["ab/z", "a/b/c/z", "abc/y"]),
        ("a?*[xy]*\\\\**.c", ["abx\\d/e.c"], ["ax\\d.c", "abz\\.c", "abx\\.d"]),
        ("logs", ["logs/of\ntwo lines"], []),
        ("Dockerfile\n.dockerignore", [], ["Dockerfile", ".dockerignore"]),
    ],
)
def test_dockerignore_reads_as_docker_reads_it(
    tmp_path: Path, rules: str, left_out: list[str], sent: list[str]
) -> None:
    for name in [*left_out, *sent, "Dockerfile"]:
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("x")
    (tmp_path / ".dockerignore").write_text(rules)

    names = {entry.name for entry in context_entries(tmp_path)}

    assert names.isdisjoint(left_out)
    assert names >= set(sent)


@pytest.mark.parametrize("rule", ["a*" * 12 + "b", "**/" * 12 + "b", "**a" * 12 + "b"])
def test_a_dockerignore_with_many_stars_takes_no_longer_for_it(tmp_path: Path, rule: str) -> None:
    (tmp_path / ".dockerignore").write_text(rule)
    skip = ignore_rules(tmp_path)
    assert skip
    began = time.process_time()

    assert not skip("a" * 250, False)
    assert not skip("a/" * 250, False)

    assert time.process_time() - began < 1


@pytest.mark.parametrize(
    ("rules", "told"),
    [(b"a\n[z-a]\n", ":2: '[z-a]' is no pattern: bad character range z-a"), (b"\xff", ": is not UTF-8")],
)
def test_a_dockerignore_that_cannot_be_read_is_told(tmp_path: Path, rules: bytes, told: str) -> None:
    (tmp_path / ".dockerignore").write_bytes(rules)
    with pytest.raises(ImageBuildError) as met:
        context_entries(tmp_path)
    assert f"{tmp_path}/.dockerignore{told}" in str(met.value)


def test_an_empty_dockerignore_leaves_nothing_out(tmp_path: Path) -> None:
    (tmp_path / ".dockerignore").write_text("\n# nothing\n")

    assert ignore_rules(tmp_path) is None


def test_a_context_over_the_limit_names_its_biggest_parts(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    (tmp_path / "data" / "set.bin").write_bytes(b"x" * 3_000_000)
    (tmp_path / "small").write_bytes(b"x")

    with pytest.raises(ImageBuildError, match=r"limit of 1\.0 MiB.*data \(2\.9 MiB\).*dockerignore"):
        context_entries(tmp_path, limit=1 << 20)


def test_a_file_that_vanishes_while_it_is_packed_breaks_the_upload(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    entries = context_entries(tmp_path)
    (tmp_path / "file").unlink()

    with ArchiveReader(entries) as reader, pytest.raises(FileNotFoundError):
        reader.read()


def test_a_reader_that_gives_up_leaves_no_thread(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x" * (4 << 20))

    with ArchiveReader(context_entries(tmp_path)) as reader:
        reader.read(10)

    assert not reader._writer.is_alive()


@pytest.mark.parametrize(
    ("make", "sentence"),
    [
        (lambda _: None, "does not exist"),
        (lambda path: path.write_text("x"), "is a file, not a directory"),
        (lambda path: path.mkdir(), "is empty"),
        (lambda path: (path.mkdir(), (path / "dockerfile.txt").write_text("")), r"no Dockerfile \(there is: dockerf"),
    ],
)
def test_a_directory_that_no_image_can_be_built_from_says_what_is_missing(tmp_path: Path, make, sentence: str) -> None:  # type: ignore[no-untyped-def]
    make(tmp_path / "environment")

    with pytest.raises(ImageBuildError, match=sentence) as caught:
        checked_context(tmp_path / "environment")

    assert caught.value.phase == "CONTEXT"
