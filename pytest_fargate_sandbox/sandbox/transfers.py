"""Files into the sandbox: over the tunnel, or by way of S3 where a bucket is configured."""

from __future__ import annotations

import logging
import re
import stat
import threading
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, TypeVar

from pytest_fargate_sandbox.leaves.call_arguments import check_sendable
from pytest_fargate_sandbox.leaves.errors import RemoteFileError, UnsafeArchiveError
from pytest_fargate_sandbox.leaves.progress_bar import shown
from pytest_fargate_sandbox.sandbox.exec.staged_downloads import TooLittle
from pytest_fargate_sandbox.sandbox.task.addresses import through_sessions

if TYPE_CHECKING:
    from collections.abc import Callable
    from os import PathLike

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.providers.aws.aws import Aws
    from pytest_fargate_sandbox.providers.aws.s3_staging import S3Staging
    from pytest_fargate_sandbox.sandbox.exec.exec_client import ExecClient
    from pytest_fargate_sandbox.sandbox.snapshot import Snapshot

T = TypeVar("T")

_UNREACHABLE = "unreachable"
_REMEDIES = (
    ("CERTIFICATE_VERIFY_FAILED", "the certificate there is of no known CA: name its file in AWS_CA_BUNDLE"),
    ("HTTP Error 403", "these credentials, which signed the URL, lack s3:GetObject there, or kms:Decrypt on the key"),
    ("unknown url type|No module named", 'the image\'s Python has no TLS: `runtime="sidecar"` brings one that has'),
    ("not what was staged", "somebody else writes below its prefix: name another `s3_prefix`"),
    ("", "a private subnet needs a NAT gateway or an S3 endpoint"),
)  # fmt: skip
"""By what the sandbox says of it; the first that fits."""

_WORTH_A_DETOUR_BYTES = 5 * 1000 * 1000
"""Out of a sandbox, by the Session Manager: what takes longer than seven seconds."""

_warned, _told = threading.Event(), threading.Event()
_log = logging.getLogger("pytest_fargate_sandbox.transfers")


class Transfers:
    """Decides on the way, and leaves the rest to the exec server's client."""

    def __init__(self, cfg: EcsFargateConfig, aws: Aws, bucket_is_away: threading.Event) -> None:
        self._cfg = cfg
        self._aws = aws
        self._bucket_is_away = bucket_is_away

    def upload(self, client: ExecClient, local_path: str | PathLike[str], remote_path: str) -> None:
        local = Path(local_path)
        check_sendable("local_path", local)
        fetch = _fetch_tree if local.is_dir() else _fetch_file
        with shown(f"upload to {remote_path}", None if local.is_dir() else local.stat().st_size):
            if self._by_s3(local, lambda staging: fetch(client, staging, local, remote_path) or True) is None:
                self._tell_what_is_faster(local)
                upload_directly(client, local, remote_path)

    def download(self, client: ExecClient, remote_path: str, local: Path, max_bytes: int | None = None) -> None:
        """Where the way carries little, what is big goes by S3 in this direction too."""
        bucket = self._cfg.s3_bucket
        if through_sessions(self._cfg) and bucket and not self._bucket_is_away.is_set():
            from pytest_fargate_sandbox.providers.aws.s3_outbox import S3Outbox

            try:
                outbox = S3Outbox(self._aws, bucket, self._cfg.s3_prefix)
                client.download_by(outbox, remote_path, local, at_least=_WORTH_A_DETOUR_BYTES, max_bytes=max_bytes)
                return
            except TooLittle:
                pass
            except RemoteFileError as error:
                if error.kind != _UNREACHABLE:
                    raise
                self._bucket_is_away.set()
                self._warn(str(error))
        with shown(f"download of {remote_path}"):
            client.download_to(remote_path, local, max_bytes=max_bytes)
        self._tell_what_is_faster(local)

    def _tell_what_is_faster(self, local: Path) -> None:
        is_slow = through_sessions(self._cfg) and not self._cfg.s3_bucket
        if is_slow and not _told.is_set() and local.is_file() and local.stat().st_size > _WORTH_A_DETOUR_BYTES:
            _told.set()
            _log.warning("sessions carry 0.7 MB/s, and up to 2.5 side by side: with `s3_bucket` what is big goes by S3")

    def load(self, client: ExecClient, snapshot: Snapshot, remote_dir: str) -> tuple[str, ...]:
        """What of it could not be kept."""
        with shown(f"load into {remote_dir}", snapshot.size):
            return self._loaded(client, snapshot, remote_dir)

    def _loaded(self, client: ExecClient, snapshot: Snapshot, remote_dir: str) -> tuple[str, ...]:
        not_kept = self._by_s3(snapshot.path, lambda staging: _fetch_snapshot(client, staging, snapshot, remote_dir))
        return client.load(snapshot.path, remote_dir) if not_kept is None else not_kept

    def _by_s3(self, local: Path, fetch: Callable[[S3Staging], T]) -> T | None:
        """None where it has to go another way."""
        if not self._cfg.s3_bucket or self._bucket_is_away.is_set():
            return None
        from pytest_fargate_sandbox.providers.aws.s3_staging import S3Staging, is_worth_staging

        if not is_worth_staging(local):
            return None
        try:
            return fetch(S3Staging(self._aws, str(self._cfg.s3_bucket), self._cfg.s3_prefix))
        except RemoteFileError as error:
            if error.kind != _UNREACHABLE:
                raise
            self._bucket_is_away.set()
            self._warn(str(error))
        except UnsafeArchiveError:
            pass  # the tunnel brings what lies here, and tells whether it is any better
        return None

    def _warn(self, why: str) -> None:
        if not _warned.is_set():
            _warned.set()
            remedy = next(remedy for words, remedy in _REMEDIES if re.search(words, why))
            warnings.warn(
                f"the sandbox cannot fetch from the bucket {self._cfg.s3_bucket} ({why}): files go over the tunnel; "
                f"{remedy}",
                RuntimeWarning,
                stacklevel=4,
            )


def _fetch_file(client: ExecClient, staging: S3Staging, local: Path, remote_path: str) -> None:
    status = local.stat()
    with local.open("rb") as content:
        staged = staging.stage(content, status.st_size)
    mode = stat.S_IMODE(status.st_mode)
    client.fetch(
        staged.url, remote_path, sha256=staged.sha256, roots=staged.roots, mode=mode, mtime_ns=status.st_mtime_ns
    )


def _fetch_tree(client: ExecClient, staging: S3Staging, local: Path, remote_path: str) -> None:
    from pytest_fargate_sandbox.providers.aws.s3_staging import archive_of

    with archive_of(local) as (content, size):
        staged = staging.stage(content, size)
    client.fetch(staged.url, remote_path, sha256=staged.sha256, roots=staged.roots, unpack=True)


def _fetch_snapshot(client: ExecClient, staging: S3Staging, snapshot: Snapshot, remote_dir: str) -> tuple[str, ...]:
    with snapshot.path.open("rb") as content:
        staged = staging.stage_snapshot(snapshot.sha256, content, snapshot.size, snapshot.check)
    return client.fetch_snapshot(staged.url, staged.roots, remote_dir)


def upload_directly(client: ExecClient, local: Path, remote_path: str) -> None:
    if local.is_dir():
        client.upload_tree(local, remote_path)
    else:
        client.upload(remote_path, local)
