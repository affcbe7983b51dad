"""With a bucket, what is big goes to S3 once, and every sandbox fetches it itself."""

from __future__ import annotations

import dataclasses
import os
import re
import threading
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, UnsafeArchiveError
from pytest_fargate_sandbox.sandbox import transfers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateSandbox
    from tests.engine_of_tests import EngineOfTests

BIG = os.urandom(600_000)


@pytest.fixture
def bucket(engine: EngineOfTests) -> str:
    engine.aws.call("s3", "CreateBucket", Bucket="files")
    return "files"


def test_one_upload_for_many_sandboxes(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, bucket: str, tmp_path: Path
) -> None:
    file = tmp_path / "big"
    file.write_bytes(BIG)
    file.chmod(0o750)
    os.utime(file, (10**9, 10**9))
    before = engine.count()
    for number in range(2):
        mine = sandbox(f"t{number}", s3_bucket=bucket, s3_prefix="some/where")
        mine.start()
        mine.upload(file, "/tmp/deep/er/big")
        assert mine.read_file("/tmp/deep/er/big") == BIG
        assert mine.exec("stat -c '%a %Y' /tmp/deep/er/big").stdout == "750 1000000000\n"
    assert (engine.count() - before)["PutObject"] == 1
    keys = [each["Key"] for each in engine.aws.call("s3", "ListObjectsV2", Bucket=bucket)["Contents"]]
    assert any(key.startswith("some/where/") for key in keys)


def test_a_tree_goes_the_same_way(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, bucket: str, tmp_path: Path
) -> None:
    tree = tmp_path / "tree"
    (tree / "sub" / "empty").mkdir(parents=True)
    (tree / "sub" / "big").write_bytes(BIG[::-1])
    (tree / "sub" / "run.sh").write_text("#!/bin/sh\necho ran\n")
    (tree / "sub" / "run.sh").chmod(0o755)
    (tree / "link").symlink_to("sub/big")
    before = engine.count()
    for number in range(2):
        mine = sandbox(f"t{number}", s3_bucket=bucket)
        mine.start()
        mine.upload(tree, "/tmp/tree")
        assert mine.exec("cd /tmp/tree && sub/run.sh && readlink link && ls -d sub/empty").stdout == (
            "ran\nsub/big\nsub/empty\n"
        )
        assert mine.read_file("/tmp/tree/link") == BIG[::-1]
    assert (engine.count() - before)["PutObject"] == 1


def test_a_snapshot_is_uploaded_once_for_all_who_begin_with_it(
    sandbox: Callable[..., EcsFargateSandbox],
    engine: EngineOfTests,
    bucket: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    sandboxes = [sandbox(f"t{number}", s3_bucket=bucket) for number in range(2)]
    for each in sandboxes:
        each.start()
    first, other = sandboxes
    first.exec("mkdir /tmp/tree; head -c 700000 /dev/urandom >/tmp/tree/big; chmod 4711 /tmp/tree/big", check=True)
    snapshot = first.save("/tmp/tree", to=tmp_path / "tree.tar")
    before = engine.count()
    for each in sandboxes:
        assert each.load(snapshot, "/tmp/loaded") == ()
        assert each.exec("stat -c %a /tmp/loaded/big").stdout == "4711\n"
        assert not each.changes(path="/tmp/loaded")
    assert (engine.count() - before)["PutObject"] == 1
    key = f"fargate-sandbox/snapshot-{snapshot.sha256}"
    content = snapshot.path.read_bytes()
    engine.aws.call("s3", "PutObject", Bucket=bucket, Key=key, Body=content[:-1024] + b"x" * 1024)
    other.exec("rm -r /tmp/loaded")
    other.load(snapshot, "/tmp/loaded")  # what the bucket has is not believed, and comes over the tunnel
    assert not other.changes(path="/tmp/loaded")
    monkeypatch.setattr("pytest_fargate_sandbox.providers.aws.s3_staging._known", set())
    engine.aws.call("s3", "DeleteObject", Bucket=bucket, Key=key)
    snapshot.path.write_bytes(content.replace(content[3000:3100], bytes(100)))
    before = engine.count()
    with pytest.raises(UnsafeArchiveError, match="was changed since it was saved"):
        other.load(snapshot, "/tmp/again")
    assert not (engine.count() - before)["PutObject"], "nobody else is given it"


def test_what_is_small_goes_over_the_tunnel(
    sandbox: Callable[..., EcsFargateSandbox], engine: EngineOfTests, bucket: str, tmp_path: Path
) -> None:
    (tmp_path / "small").write_bytes(BIG[:1000])
    mine = sandbox(s3_bucket=bucket)
    mine.start()
    before = engine.count()
    mine.upload(tmp_path / "small", "/tmp/small")
    assert not engine.count() - before
    assert mine.read_file("/tmp/small") == BIG[:1000]


def test_a_sandbox_that_cannot_reach_s3_gets_it_over_the_tunnel_with_one_warning(
    sandbox: Callable[..., EcsFargateSandbox], bucket: str, tmp_path: Path
) -> None:
    file = tmp_path / "big"
    file.write_bytes(BIG + b"other")
    mine = sandbox(s3_bucket=bucket)
    mine.start()
    elsewhere = _SendsElsewhere(mine.aws)
    mine.place = dataclasses.replace(cast(Any, mine.place), aws=elsewhere)
    with pytest.warns(RuntimeWarning, match="over the tunnel; a private subnet needs"):
        mine.upload(file, "/tmp/first")
    mine.upload(file, "/tmp/second")  # a second warning would fail here
    assert mine.read_file("/tmp/second") == BIG + b"other"
    assert elsewhere.signed == 1, "it is not sent to S3 again, to wait there for every file"


@pytest.mark.parametrize(
    ("said", "remedy"),
    [
        ("<urlopen error [SSL: CERTIFICATE_VERIFY_FAILED] certificate verify failed>", "AWS_CA_BUNDLE"),
        ("HTTP Error 403: Forbidden", "s3:GetObject"),
        ("<urlopen error unknown url type: https>", 'runtime="sidecar"'),
        ("what came for /tmp/x is not what was staged", "s3_prefix"),
        ("timed out", "NAT gateway"),
    ],
)
def test_what_keeps_a_sandbox_from_the_bucket_is_named(monkeypatch: pytest.MonkeyPatch, said: str, remedy: str) -> None:
    monkeypatch.setattr(transfers, "_warned", threading.Event())
    away = threading.Event()
    cfg = EcsFargateConfig(s3_bucket="files")
    with pytest.warns(RuntimeWarning, match=re.escape(remedy)):
        transfers.Transfers(cfg, cast(Any, None), away)._warn(said)


class _SendsElsewhere:
    """An account whose presigned URLs lead to where nobody listens: what a private subnet without an endpoint sees."""

    def __init__(self, aws: object) -> None:
        self._aws = aws
        self.signed = 0

    def __getattr__(self, name: str) -> object:
        return getattr(self._aws, name)

    def presigned(self, *_args: object, **_kwargs: object) -> str:
        self.signed += 1
        return "http://127.0.0.1:9/bucket/key"
