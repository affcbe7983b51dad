"""Files of a sandbox that the Session Manager leads to: what is big goes by S3, in both directions."""

from __future__ import annotations

import os
import threading
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any, cast

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox
from pytest_fargate_sandbox.leaves.errors import RemoteFileNotFound, TransportError
from pytest_fargate_sandbox.providers.aws.s3_outbox import S3Outbox
from pytest_fargate_sandbox.sandbox import transfers

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

BIG = 6_000_000


@pytest.fixture(scope="module")
def sandbox(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    _engine_of_tests.aws.call("s3", "CreateBucket", Bucket="session-files")
    cfg = EcsFargateConfig(cluster="local", ecs_exec=True, s3_bucket="session-files")
    with EcsFargateSandbox(cfg, task_id="files", run_id="files") as sandbox:
        sandbox.start()
        yield sandbox


def keys(engine: EngineOfTests) -> list[str]:
    listed = engine.aws.call("s3", "ListObjectsV2", Bucket="session-files")
    return [each["Key"] for each in listed.get("Contents", [])]


def test_a_big_file_goes_there_and_back_by_s3_and_leaves_nothing_of_the_way_out(
    sandbox: EcsFargateSandbox, engine: EngineOfTests, tmp_path: Path
) -> None:
    content = os.urandom(BIG)
    (tmp_path / "big").write_bytes(content)
    (tmp_path / "big").chmod(0o750)
    before = engine.count()
    sandbox.upload(tmp_path / "big", "/tmp/big")
    sandbox.download("/tmp/big", tmp_path / "back")
    assert (tmp_path / "back").read_bytes() == content
    assert (tmp_path / "back").stat().st_mode & 0o777 == 0o750
    asked = engine.count() - before
    assert (asked["PutObject"], asked["DeleteObject"]) == (2, 1)
    assert [key for key in keys(engine) if "/out/" in key] == []


def test_a_big_tree_comes_by_s3_and_a_small_one_does_not(
    sandbox: EcsFargateSandbox, engine: EngineOfTests, tmp_path: Path
) -> None:
    sandbox.exec(
        f"mkdir -p /tmp/tree/sub && head -c {BIG} /dev/urandom >/tmp/tree/sub/big && ln -s sub/big /tmp/tree/l"
    )
    sandbox.exec("mkdir /tmp/little && echo x >/tmp/little/file")
    before = engine.count()
    sandbox.download("/tmp/little", tmp_path / "little")
    assert (engine.count() - before)["DeleteObject"] == 0
    sandbox.download("/tmp/tree", tmp_path / "tree")
    assert (engine.count() - before)["DeleteObject"] == 1
    assert (tmp_path / "tree/sub/big").stat().st_size == BIG
    assert (tmp_path / "tree/l").readlink().name == "big"
    assert (tmp_path / "little/file").read_text() == "x\n"


def test_what_is_not_there_is_told_as_ever(sandbox: EcsFargateSandbox, tmp_path: Path) -> None:
    with pytest.raises(RemoteFileNotFound):
        sandbox.download("/tmp/no/such", tmp_path / "x")


def test_what_somebody_has_changed_in_the_bucket_is_not_taken(
    sandbox: EcsFargateSandbox, engine: EngineOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sandbox.exec(f"head -c {BIG} /dev/zero >/tmp/changed")
    opened = S3Outbox.opened

    def changed(outbox: S3Outbox, name: str) -> object:
        content = engine.aws.call("s3", "GetObject", Bucket="session-files", Key=name)["Body"].read()
        engine.aws.call("s3", "PutObject", Bucket="session-files", Key=name, Body=content[:-1] + b"x")
        return opened(outbox, name)

    monkeypatch.setattr(S3Outbox, "opened", changed)
    with pytest.raises(TransportError, match="digest is not that"):
        sandbox.download("/tmp/changed", tmp_path / "changed")
    assert not (tmp_path / "changed").exists()


def test_where_the_bucket_takes_nothing_the_tunnel_brings_it(
    sandbox: EcsFargateSandbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfers, "_warned", threading.Event())
    monkeypatch.setattr(S3Outbox, "new", lambda _outbox: ("x", "http://127.0.0.1:1/x", ""))
    monkeypatch.setattr(transfers, "_WORTH_A_DETOUR_BYTES", 100_000)
    sandbox.exec("head -c 150000 /dev/zero >/tmp/there")
    with pytest.warns(RuntimeWarning, match="files go over the tunnel"):
        sandbox.download("/tmp/there", tmp_path / "there")
    assert (tmp_path / "there").stat().st_size == 150_000


def test_without_a_bucket_it_is_said_once_what_would_be_faster(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(transfers, "_WORTH_A_DETOUR_BYTES", 10)
    monkeypatch.setattr(transfers, "_told", threading.Event())
    (tmp_path / "file").write_bytes(bytes(20))
    client = SimpleNamespace(upload=lambda *_: None)
    for _ in range(2):
        ways = transfers.Transfers(EcsFargateConfig(ecs_exec=True), cast("Any", None), threading.Event())
        ways.upload(cast("Any", client), tmp_path / "file", "/x")
    assert caplog.text.count("`s3_bucket`") == 1
