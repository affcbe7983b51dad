"""What crossed over is kept by its content, and nothing else is taken for it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import SandboxError
from pytest_fargate_sandbox.tasks.crossing_store import BucketStore, DirectoryStore, store_at
from pytest_fargate_sandbox.tasks.task_inputs import content_digest

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


@pytest.mark.parametrize("where", ["kept", "s3://crossings/some/prefix"])
def test_it_is_found_by_its_digest_and_checked(tmp_path: Path, engine: EngineOfTests, where: str) -> None:
    aws = engine.aws
    if where.startswith("s3"):
        aws.call("s3", "CreateBucket", Bucket="crossings")
    store = store_at(where, tmp_path)
    file, back = tmp_path / "file", tmp_path / "back"
    file.write_bytes(b"what an agent did")
    digest = content_digest(file)
    for _ in range(2):
        store.put(aws, file, digest)
    store.get(aws, digest, back)
    assert back.read_bytes() == b"what an agent did"
    with pytest.raises(SandboxError, match="what crossed over is not in"):
        store.get(aws, "0" * 64, back)
    _change(aws, store, tmp_path, digest)
    with pytest.raises(SandboxError, match="is not what crossed over: somebody has changed it"):
        store.get(aws, digest, back)
    for bad in ("../../etc/passwd", "", "A" * 64):
        with pytest.raises(SandboxError, match="is no digest"):
            store.get(aws, bad, back)


def _change(aws: Any, store: object, tmp_path: Path, digest: str) -> None:
    if isinstance(store, DirectoryStore):
        (tmp_path / "kept" / digest[:2] / digest).write_bytes(b"x")
    else:
        assert isinstance(store, BucketStore)
        aws.call("s3", "PutObject", Bucket="crossings", Key=f"some/prefix/{digest}", Body=b"x")
