"""The one place that talks to AWS: a session for each account and region, shared clients, one way of retrying.

botocore loads at the first call. Its own retries are off, so that how often a call is made is decided here alone.
"""

from __future__ import annotations

import hashlib
import os
import threading
import time
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from pytest_fargate_sandbox.leaves.garbage import collection_paused
from pytest_fargate_sandbox.leaves.sockets import is_loopback
from pytest_fargate_sandbox.leaves.user_cache import cache_directory, write_private
from pytest_fargate_sandbox.leaves.waiting import pauses
from pytest_fargate_sandbox.providers.aws.aws_errors import AwsError, Call, gone, mapped
from pytest_fargate_sandbox.providers.aws.aws_patience import ASKING, FILES, Patience, patience_for
from pytest_fargate_sandbox.providers.aws.caller import share_credentials, without_session
from pytest_fargate_sandbox.providers.aws.no_keys_in_logs import keep_keys_out_of_logs

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from botocore.session import Session

_NO_FILES = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""What botocore reads beside its arguments is about accounts; an engine needs none: what is wrong there is no matter.
https://github.com/boto/botocore/blob/1.44.8/botocore/configprovider.py"""

_UNREACHABLE_ATTEMPTS = 3
"""A wrong address is to be told in seconds, so an endpoint that nobody listens at gets fewer tries."""


@dataclass(frozen=True)
class Credentials:
    """A key pair that was handed to us, instead of the one that botocore would find."""

    access_key_id: str
    secret_access_key: str

    def __repr__(self) -> str:
        return f"Credentials({self.access_key_id!r}, ***)"


class Aws:
    """AWS in one region, with one identity. Threads share it; ``connect`` gives the same one for the same arguments."""

    def __init__(
        self,
        *,
        region: str | None,
        endpoint_url: str | None,
        credentials: Credentials | None,
        notes: Path | None = None,
        obituary: Callable[[], str] | None = None,
        is_counted: bool = True,
    ) -> None:
        """``obituary``, of an engine on this machine, tells where no answer came why none ever will, or nothing.

        ``is_counted``: whether there is an account that may call only so often.
        """
        self.endpoint_url = endpoint_url
        self.is_counted = is_counted
        self._obituary = obituary
        self._asked_region = region
        self._credentials = credentials
        self._notes = notes
        self._clients: dict[tuple[str, float, float], Any] = {}
        self._lock = threading.Lock()

    def call(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call; try again, with growing pauses, where that can help. ``operation`` is AWS's name of it.

        Raises ``AwsError``, after the time that ``aws_patience`` gives the operation at the latest.
        """
        call, patience = self._called(service, operation, parameters), self._patience(operation)
        act = self._method(call)
        began, unreachable, rests = time.monotonic(), 0, pauses(0.1, 4.0)
        while True:
            try:
                return self._answer(act, call)
            except AwsError as error:
                unreachable += error.unreachable
                pause = next(rests)
                in_time = patience.allows(time.monotonic() - began + pause)
                if not (error.transient and in_time) or error.gone or unreachable >= _UNREACHABLE_ATTEMPTS:
                    raise
            time.sleep(pause)

    def call_once(self, service: str, operation: str, **parameters: Any) -> dict[str, Any]:
        """Make a call, whatever comes of it."""
        call = self._called(service, operation, parameters)
        return self._answer(self._method(call), call)

    def _answer(self, act: Callable[..., dict[str, Any]], call: Call) -> dict[str, Any]:
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            return act(**call.parameters)
        except (BotoCoreError, ClientError) as error:
            ours = mapped(error, call)
            why_gone = self._obituary() if self._obituary and ours.is_silence else ""
            raise (gone(why_gone, call) if why_gone else ours) from error

    def _patience(self, operation: str) -> Patience:
        return patience_for(operation, near=self._obituary is not None)

    def _called(self, service: str, operation: str, parameters: dict[str, Any]) -> Call:
        return Call(service, operation, self._region_name, self.endpoint_url, parameters)

    def _method(self, call: Call) -> Callable[..., dict[str, Any]]:
        """What makes the call; to get it may take as long as it takes to load botocore."""
        from botocore import xform_name
        from botocore.exceptions import BotoCoreError, NoRegionError

        try:
            if not self._region_name:
                raise NoRegionError  # some services have a worldwide address, and would fail in words of their own
            _ = urlsplit(self.answers_at or "").port  # which botocore would meet while it sends
            client = self.client(call.service, self._patience(call.operation))
        except BotoCoreError as error:
            raise mapped(error, call) from error
        except ValueError as error:  # of the standard library's, and botocore's own, which does not always name it
            raise mapped(ValueError(f"{self.answers_at}: {error}"), call) from error
        method: Callable[..., dict[str, Any]] = getattr(client, xform_name(call.operation))
        return method

    def client(self, service: str, patience: Patience = ASKING) -> Any:
        """botocore's client for ``service``, made once; another one, for 3 ms, where it is to wait otherwise."""
        key = (service, patience.connect, patience.read)
        with self._lock:
            if key not in self._clients:
                with collection_paused():
                    client = self._clients[key] = self._session.create_client(
                        service,
                        region_name=self._region_name,
                        endpoint_url=self.endpoint_url,
                        aws_access_key_id=self._credentials.access_key_id if self._credentials else None,
                        aws_secret_access_key=self._credentials.secret_access_key if self._credentials else None,
                        config=self._client_config(service, patience),
                    )
                client.meta.events.register("before-send.ssm.TerminateSession", _close_behind)
            return self._clients[key]

    def presigned(self, operation: str, *, expires: int, **parameters: Any) -> str:
        """A URL that lets its bearer make one S3 call for ``expires`` seconds."""
        client = self.client("s3", FILES)
        url: str = client.generate_presigned_url(operation, Params=parameters, ExpiresIn=expires)
        return url

    def twin(self) -> Aws:
        """The same place with connections of its own: for a signal handler, which must not wait for anybody's lock."""
        return Aws(
            region=self._region_name,
            endpoint_url=self.endpoint_url,
            credentials=self._credentials,
            notes=self._notes,
            obituary=self._obituary,
            is_counted=self.is_counted,
        )

    def disconnect(self) -> None:
        """Close and forget the clients, and all of botocore's models with them; the next call makes them anew."""
        with self._lock:
            clients = list(self._clients.values())
            self._clients.clear()
            self.__dict__.pop("_session", None)
        for client in clients:
            client.close()

    @property
    def answers_at(self) -> str | None:
        """The address that another process must ask, whose environment may be another; None is AWS itself."""
        return self.endpoint_url or os.environ.get("AWS_ENDPOINT_URL") or None

    @property
    def region(self) -> str:
        return self._region_name or ""

    @property
    def ca_bundle(self) -> str:
        """The file of certificates that AWS_CA_BUNDLE or the profile names, to believe whoever answers by."""
        return str(self._session.get_config_variable("ca_bundle") or "")

    def notes(self, topic: str) -> Path:
        """A directory for what was learnt about this place and need not be asked again, by any process of this user."""
        return self._notes_of(self.identity_hash, topic)

    def _notes_of(self, whom: str, topic: str) -> Path:
        directory = (self._notes or cache_directory("notes")) / whom / topic
        directory.mkdir(mode=0o700, parents=True, exist_ok=True)
        return directory

    @cached_property
    def identity_hash(self) -> str:
        """Which endpoint, region and identity this is, in a form that says nothing about any of them."""
        return self._hashed(self._credentials.access_key_id if self._credentials else self._found_identity())

    @property
    def caller_arn(self) -> str:
        """Whose credentials these are, whatever session they are of; asked for once. Raises ``AwsError``."""
        return self._noted_arn(self.identity_hash)

    def _hashed(self, who: str) -> str:
        return hashlib.sha256("\n".join([self.answers_at or "", self.region, who]).encode()).hexdigest()[:24]

    def _noted_arn(self, whom: str) -> str:
        note = self._notes_of(whom, "identity") / "arn"
        if not note.exists():
            write_private(note, without_session(str(self.call("sts", "GetCallerIdentity")["Arn"])))
        return note.read_text()

    def _found_identity(self) -> str:
        """A key that lasts; of a session's, which is another in each process and each hour, the role."""
        from botocore.exceptions import BotoCoreError, ClientError

        try:
            with self._lock:  # two that come first together would both be asked for an MFA code
                found = self._session.get_credentials()
                frozen = found.get_frozen_credentials() if found else None
        except (BotoCoreError, ClientError) as error:
            raise mapped(error, Call("sts", "AssumeRole", self.region, self.endpoint_url, {})) from error
        if frozen is None:
            return ""
        return self._noted_arn(self._hashed(str(frozen.access_key))) if frozen.token else str(frozen.access_key)

    @cached_property
    def _session(self) -> Session:
        with collection_paused():
            import botocore.session

            from pytest_fargate_sandbox.providers.aws.quick_loader import read_quickly

        keep_keys_out_of_logs()
        session = botocore.session.Session(session_vars=_NO_FILES if self._obituary else None)
        read_quickly(session)
        if self._said_region:  # what botocore asks for credentials is asked there too
            session.set_config_variable("region", self._said_region)
        if self._credentials is None:
            share_credentials(session)
        return session

    @property
    def _said_region(self) -> str | None:
        # botocore reads AWS_DEFAULT_REGION and the profile; the other SDKs, and people, write AWS_REGION.
        return self._asked_region or os.environ.get("AWS_REGION")

    @cached_property
    def _region_name(self) -> str | None:
        return self._said_region or self._session.get_config_variable("region")

    def _client_config(self, service: str, patience: Patience) -> Any:
        import botocore
        from botocore.config import Config

        own: dict[str, Any] = {}
        if service == "s3":
            # By itself botocore presigns for S3's worldwide host with its older signature: new buckets redirect the
            # one, and those with a KMS key refuse the other.
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/UsingKMSEncryption.html#aws-signature-version-4-sse-kms
            # https://docs.aws.amazon.com/AmazonS3/latest/userguide/VirtualHosting.html#VirtualHostingSpecifyBucket
            style = {"addressing_style": "path" if self.endpoint_url else "virtual"}
            own = {"signature_version": "s3v4", "s3": {**style, "us_east_1_regional_endpoint": "regional"}}
        if is_loopback(urlsplit(self.answers_at or "").hostname or ""):
            own["proxies"] = {}  # None is what the environment says: a proxy's loopback is another than ours
        return Config(
            **own,
            retries={"total_max_attempts": 1, "mode": "standard"},
            connect_timeout=patience.connect,
            read_timeout=patience.read,
            max_pool_connections=32,
            tcp_keepalive=True,
            user_agent=f"pytest-fargate-sandbox Botocore/{botocore.__version__}",  # its own costs a call 1 ms, measured
            # https://botocore.amazonaws.com/v1/documentation/api/latest/reference/config.html
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
        )


_ENVIRONMENT = ("AWS_REGION", "AWS_DEFAULT_REGION", "AWS_PROFILE", "AWS_ACCESS_KEY_ID", "AWS_ENDPOINT_URL")

_connections: dict[tuple[Any, ...], Aws] = {}
_connections_lock = threading.Lock()


def connect(
    *,
    region: str | None = None,
    endpoint_url: str | None = None,
    credentials: Credentials | None = None,
    notes: Path | None = None,
    obituary: Callable[[], str] | None = None,
    is_counted: bool = True,
) -> Aws:
    """The process's connection to that place; made once (and once more in a forked child).

    What is not said comes from the environment, so another environment is another place.
    """
    said = tuple(os.environ.get(name) for name in _ENVIRONMENT)
    key = (os.getpid(), region, endpoint_url, credentials, notes, is_counted, said)
    with _connections_lock:
        if key not in _connections:
            _connections[key] = Aws(
                region=region,
                endpoint_url=endpoint_url,
                credentials=credentials,
                notes=notes,
                obituary=obituary,
                is_counted=is_counted,
            )
        return _connections[key]


def disconnect_all() -> None:
    """Disconnect whatever ``connect`` has given out in this process."""
    with _connections_lock:
        connections = list(_connections.values())
    for aws in connections:
        aws.disconnect()


def _close_behind(request: Any, **_: Any) -> None:
    """Of a call that is made beside others: or its connection would stay, one more than they take."""
    request.headers["Connection"] = "close"
