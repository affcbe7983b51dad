"""Snapshots of one sandbox: 1 GiB, many small files, what has changed, and a start from 200 MB."""

from __future__ import annotations

import tempfile
from itertools import count
from pathlib import Path
from typing import TYPE_CHECKING

from benchmarks._raw_ssh import OpenSsh
from benchmarks.figures import Figure, at_least, at_most, medians_in_turn, seconds, told
from benchmarks.sandbox import MIB, OPENSSH, engine, sandbox

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox import EcsFargateSandbox

BIG = "mkdir -p /srv/big; for i in 1 2 3 4; do head -c 268435456 /dev/urandom >/srv/big/$i; done"
PREPARED = "mkdir -p /srv/prepared; for i in $(seq 200); do head -c 1048576 /dev/urandom >/srv/prepared/$i; done"
SMALL = "mkdir -p /srv/small; for i in $(seq 1000); do head -c 1024 /dev/urandom >/srv/small/$i; done"
MANY = """
import os
for d in range(1000):
    os.makedirs(f"/srv/many/{d % 50}/{d}")
    for f in range(100):
        open(f"/srv/many/{d % 50}/{d}/{f}", "w").write(f"x{f}")
"""


def figures() -> Iterator[Figure]:
    with tempfile.TemporaryDirectory(prefix="fargate-bench-") as scratch:
        folder = Path(scratch)
        with engine(folder / "engine", FARGATE_ENGINE_OPTIONS=f"--image {OPENSSH}=/"), sandbox("one") as one:
            yield from small(one, folder)
            yield from changes(one)
            yield from prepared(one, folder)
        with engine(folder / "engine", FARGATE_ENGINE_OPTIONS=f"--image {OPENSSH}=/"), sandbox("two", OPENSSH) as two:
            yield from big(two, folder)


def big(one: EcsFargateSandbox, folder: Path) -> Iterator[Figure]:
    one.exec(BIG, check=True, timeout_sec=600)
    saved, size = folder / "big.tar", 1024 * MIB
    with OpenSsh(folder) as raw:
        save = seconds(lambda: one.save("/srv/big", to=saved))
        down = seconds(lambda: raw.download(str(saved), folder / "raw"))
        up = seconds(lambda: raw.upload(saved, "raw"))
        load = seconds(lambda: one.load(saved, "/srv/again"))
    yield at_least("save of 1 GiB", size / save / MIB, 0.6 * size / down / MIB, " MiB/s", "60 % of raw SSH")
    yield at_least("load of 1 GiB", size / load / MIB, 0.6 * size / up / MIB, " MiB/s", "60 % of raw SSH")


def small(one: EcsFargateSandbox, folder: Path) -> Iterator[Figure]:
    one.exec(SMALL, check=True)
    snapshot, number = one.save("/srv/small", to=folder / "small.tar"), count()
    one.upload(snapshot.path, "/srv/small.tar")

    def unpack() -> None:
        into = f"/srv/unpacked-{next(number)}"
        one.exec(f"mkdir {into} && tar -xf /srv/small.tar -C {into}", check=True)

    load, floor, save = medians_in_turn(
        7, lambda: one.load(snapshot, f"/srv/loaded-{next(number)}"), unpack, lambda: one.save("/srv/small")
    )
    yield at_most("load of 1,000 small files", load, 0.5, " s", f"tar -x of them there: {floor:.3f} s")
    yield at_most("save of 1,000 small files", save, 0.5, " s")


def changes(one: EcsFargateSandbox) -> Iterator[Figure]:
    one.exec(["python3", "-c", MANY], check=True, timeout_sec=600)
    yield told("remember 100,000 files", seconds(lambda: one.remember("/srv/many")), " s")
    find, found = medians_in_turn(
        7, lambda: one.exec("find /srv/many -newer /etc/passwd >/dev/null"), lambda: one.changes(path="/srv/many")
    )
    yield at_most("changes() of 100,000 files", found / find, 3, " x", f"find -newer: {find:.3f} s")


def prepared(one: EcsFargateSandbox, folder: Path) -> Iterator[Figure]:
    one.exec(PREPARED, check=True, timeout_sec=600)
    snapshot, number = one.save("/srv/prepared", to=folder / "prepared.tar"), count()
    load, upload = medians_in_turn(
        5,
        lambda: one.load(snapshot, f"/srv/prepared-{next(number)}"),
        lambda: one.upload(snapshot.path, "/srv/prepared.tar"),
    )
    yield at_most("what a start from 200 MB takes more", load, 2, " s", f"the file alone: {upload:.2f} s")
