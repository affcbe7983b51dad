"""Other users of the machine reach the engine's port, and get nothing there that its owner did not sign."""

from __future__ import annotations

import resource
import tempfile
import time
from dataclasses import replace
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.components import need
from tests.local.engine_process import ROLE, EngineProcess, container
from tests.local.raw_requests import Keys, Request, Signer, ecs_call, form_call
from tests.local.strangers import EngineOf, Stranger, Witness, busy, port_of
from tests.local.unprivileged import Somebody

if TYPE_CHECKING:
    from collections.abc import Iterator


pytestmark = pytest.mark.root

_ROOTS, _SOMEBODYS = "root's engine", "an unprivileged user's engine"
_BUCKET, _OTHER = "not-for-strangers", "not-for-strangers-either"
_STS, _IAM, _EC2 = "2011-06-15", "2010-05-08", "2016-11-15"
_CHANGES = (
    "RegisterTaskDefinition",
    "CreateCluster",
    "RunTask",
    "CreateUser",
    "PutObject",
    "DeleteObject",
    "CopyObject",
    "CreateBucket",
    "ListTasks",
    "GetCallerIdentity",
    "AssumeRole",
    "AssumeRoleWithWebIdentity",
    "AssumeRoleWithSAML",
)
"""What strangers try here and the owner does not do meanwhile, as the engine's log calls it."""

_EXAMPLES = (
    Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY"),
    Keys("AKIAIOSFODNN7EXAMPLE", "wJalrXUtnFEMI/K7MDENG/bPxRfiCYzEXAMPLEKEY"),
)
"""AWS's documentation has the first; moto's STS hands out the second to everybody, with a token that it prints too."""

FOREIGN = Keys("AKIAFOREIGNFOREIGN00", "somebody else's secret")


@pytest.fixture(scope="module")
def unprivileged_engine() -> Iterator[EngineProcess]:
    need("another user")
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        engine = EngineOf(Somebody(Path(directory) / "home"))
        yield engine
        assert engine.close() == 0


@pytest.fixture
def attacked(request: pytest.FixtureRequest) -> EngineProcess:
    """Root's engine, unless a test says otherwise: neither trusts a stranger for who he is."""
    fixture = "unprivileged_engine" if getattr(request, "param", _ROOTS) == _SOMEBODYS else "engine"
    engine: EngineProcess = request.getfixturevalue(fixture)
    s3 = engine.client("s3")
    s3.create_bucket(Bucket=_BUCKET)
    s3.put_object(Bucket=_BUCKET, Key="given", Body=b"given away")
    s3.put_object(Bucket=_BUCKET, Key="secret", Body=b"kept")
    s3.create_bucket(Bucket=_OTHER)
    s3.put_object(Bucket=_OTHER, Key=f"{_BUCKET}/given", Body=b"kept")
    return engine


@pytest.fixture
def many(soak: bool) -> int:
    """So many requests, of a stranger who hangs up."""
    return 2000 if soak else 300


def _definition(name: str) -> Request:
    return ecs_call(
        "RegisterTaskDefinition",
        family=name,
        requiresCompatibilities=["FARGATE"],
        networkMode="awsvpc",
        cpu="256",
        memory="512",
        containerDefinitions=[container(script="id")],
    )


def _run(engine: EngineProcess, definition: str) -> Request:
    return ecs_call(
        "RunTask",
        cluster="local",
        taskDefinition=definition,
        launchType="FARGATE",
        networkConfiguration=engine.network(),
    )


def _unsigned(engine: EngineProcess, many: int) -> list[Request]:
    """RunTask of what the owner registered, and now and then something else."""
    own = engine.register(container(script="id"), family="owned")
    kinds = [_definition("strange"), ecs_call("CreateCluster", clusterName="strange"), _run(engine, own)]
    return [kinds[number % len(kinds)] for number in range(many)]


def _changed(signed: Request, old: str, new: str) -> Request:
    """``signed`` with its Authorization changed after the fact."""
    value = dict(signed.headers)["Authorization"]
    assert old in value
    return signed.without_header("Authorization").with_headers(Authorization=value.replace(old, new))


def _forged_headers(owner: Keys) -> dict[str, Request]:
    """ECS calls whose header claims to be the owner's; the stranger has the key id, which is no secret."""
    call = ecs_call("CreateCluster", clusterName="strange")
    guessed = Keys(owner.id, "a guess")
    signed = Signer(guessed, "ecs").sign(call)
    plain = dict(signed.headers)["Authorization"]
    signature = plain.rpartition("=")[2]
    return {
        "foreign keys": Signer(FOREIGN, "ecs").sign(call),
        "an empty secret": Signer(Keys(owner.id, ""), "ecs").sign(call),
        "the secret is the key id": Signer(Keys(owner.id, owner.id), "ecs").sign(call),
        "an empty key id and secret": Signer(Keys("", ""), "ecs").sign(call),
        "a wrong signature": signed,
        "an old date": Signer(guessed, "ecs", age_sec=3600).sign(call),
        "a date to come": Signer(guessed, "ecs", age_sec=-3600).sign(call),
        "another service's scope": Signer(guessed, "sts").sign(call),
        "a service that nobody has": Signer(guessed, "nothing").sign(call),
        "no signature": _changed(signed, signature, ""),
        "zeros": _changed(signed, signature, "0" * 64),
        "a signature that is no ASCII": _changed(signed, signature, "\xe9" * 64),
        "no signed headers": _changed(signed, "SignedHeaders=", "SignedHeaders=;"),
        "the payload is not signed": Signer(guessed, "ecs", payload="UNSIGNED-PAYLOAD").sign(call),
        "a session token that nobody gave": Signer(Keys(owner.id, "a guess", "token"), "ecs").sign(call),
        "a scope only": call.with_headers(Authorization=plain.partition(",")[0]),
        "a bearer token": call.with_headers(Authorization="Bearer " + owner.id),
        "basic": call.with_headers(Authorization="Basic " + owner.id),
        "the older form": call.with_headers(Authorization=f"AWS {owner.id}:AAAA"),
        "an empty header": call.with_headers(Authorization=""),
        "two headers": signed.with_headers(Authorization=plain),
        "a host of AWS's": replace(call, host="ecs.us-east-1.amazonaws.com"),
        "another path": replace(call, path="/_engine/../"),
        "a path that begins as the faults do": replace(call, path="/_engine/faults/"),
        "an operation in the query": Request("GET", query="Action=AssumeRole&RoleArn=" + ROLE),
        "presigned by a guess": Signer(guessed, "ecs").presign(call),
        "presigned by a stranger": Signer(FOREIGN, "ecs").presign(call),
        "keys of one's own": form_call("CreateUser", _IAM, UserName="strange"),
        "a role": form_call("AssumeRole", _STS, RoleArn=ROLE, RoleSessionName="strange"),
        "the keys of AWS's examples": Signer(_EXAMPLES[0], "ecs").sign(call),
        "the keys of moto's examples": Signer(_EXAMPLES[1], "ecs").sign(call),
        "a role of the web": _web_identity(),
        "a role of SAML": _saml(),
    }


def _web_identity() -> Request:
    return form_call(
        "AssumeRoleWithWebIdentity", _STS, RoleArn=ROLE, RoleSessionName="strange", WebIdentityToken="e30.e30.e30"
    )


def _saml() -> Request:
    return form_call("AssumeRoleWithSAML", _STS, RoleArn=ROLE, PrincipalArn=ROLE, SAMLAssertion="PHgvPg==")


def _given_away(engine: EngineProcess, version: str = "s3v4") -> Request:
    """A presigned URL to read one object, as the owner hands it to whom it likes."""
    s3 = engine.client("s3", signature_version=version)
    url = s3.generate_presigned_url("get_object", Params={"Bucket": _BUCKET, "Key": "given"}, ExpiresIn=600)
    return Request.of_url("GET", url)


def _misused(engine: EngineProcess, version: str) -> dict[str, Request]:
    """What a stranger makes of a URL that the owner did sign."""
    given = _given_away(engine, version)
    call = ecs_call("CreateCluster", clusterName="strange")
    scope = f"Credential={FOREIGN.id}/{time.strftime('%Y%m%d', time.gmtime())}/us-east-1/ecs/aws4_request"
    as_ecs = f"AWS4-HMAC-SHA256 {scope}, SignedHeaders=host, Signature={'0' * 64}"
    return {
        "PUT": replace(given, method="PUT", body=b"strange"),
        "DELETE": replace(given, method="DELETE"),
        "POST": replace(given, method="POST", body=b"strange"),
        "another object": replace(given, path=f"/{_BUCKET}/secret"),
        "another object by dots": replace(given, path=f"/{_BUCKET}/given/../secret"),
        "the bucket": replace(given, path=f"/{_BUCKET}"),
        "a copy": replace(given, method="PUT").with_headers(x_amz_copy_source=f"/{_BUCKET}/secret"),
        "an ACL": replace(given, query=given.query + "&acl"),
        "a bucket by the host's name": replace(given, host=f"{_OTHER}.s3.amazonaws.com"),
        "a longer life": replace(given, query=given.query.replace("Expires=", "Expires=9")),
        "an ECS call": replace(call, query=given.query, host=given.host),
        "an ECS call by GET": replace(given, headers=call.headers, body=call.body),
        "an ECS call by a scope in the header": replace(
            call.with_headers(Authorization=as_ecs), query=given.query, path=given.path, host=given.host
        ),
        "an ECS call by GET and a scope in the header": replace(
            given.with_headers(Authorization=as_ecs), headers=(*call.headers, ("Authorization", as_ecs)), body=call.body
        ),
        "an ECS call by a second scope in the query": replace(
            given, headers=call.headers, body=call.body, query=f"X-Amz-{scope.replace('/', '%2F')}&{given.query}"
        ),
        "an ECS call by a scope that comes later": replace(
            given, headers=call.headers, body=call.body, query=f"{given.query}&X-Amz-{scope.replace('/', '%2F')}"
        ),
    }


_ON_BOTH = pytest.mark.parametrize("attacked", [_ROOTS, _SOMEBODYS], indirect=True)
_ON_BOTH_WITH_SOAK = pytest.mark.trials("attacked", _ROOTS, _SOMEBODYS, indirect=True)


def _assert_nothing_was_done(witness: Witness) -> None:
    done = witness.carried_out(*_CHANGES)
    assert (len(done), done[:3]) == (0, [])
    assert witness.new_things() == {}
    assert witness.errors() == []


@_ON_BOTH_WITH_SOAK
def test_nothing_unsigned_is_carried_out_for_who_hangs_up_at_once(attacked: EngineProcess, many: int) -> None:
    requests = _unsigned(attacked, many)
    witness = Witness(attacked)
    Stranger(port_of(attacked)).send_and_hang_up(requests)
    _assert_nothing_was_done(witness)


def test_nothing_unsigned_is_carried_out_by_a_busy_engine(attacked: EngineProcess, many: int) -> None:
    requests = _unsigned(attacked, many)
    witness = Witness(attacked)
    with busy(attacked):
        Stranger(port_of(attacked)).send_and_hang_up(requests)
    _assert_nothing_was_done(witness)


@_ON_BOTH_WITH_SOAK
def test_nothing_with_a_forged_signature_is_carried_out(attacked: EngineProcess, many: int) -> None:
    forged = [*_forgeries(attacked).values()]
    witness = Witness(attacked)
    with busy(attacked, threads=1):
        Stranger(port_of(attacked)).send_and_hang_up([forged[n % len(forged)] for n in range(many)])
    _assert_nothing_was_done(witness)


def _forgeries(engine: EngineProcess) -> dict[str, Request]:
    forged = _forged_headers(Keys.printed(engine.exports))
    for version in ("s3v4", "s3"):
        forged |= {f"{what} ({version})": made for what, made in _misused(engine, version).items()}
    return forged


@_ON_BOTH
def test_a_stranger_who_waits_for_the_answer_is_refused_each_time(attacked: EngineProcess) -> None:
    forged = _forgeries(attacked)
    witness = Witness(attacked)
    answers = dict(zip(forged, Stranger(port_of(attacked)).send([*forged.values()], "polite"), strict=True))
    assert {what: answer.status for what, answer in answers.items() if answer.status not in (400, 401, 403, 404)} == {}
    _assert_nothing_was_done(witness)


def test_a_stranger_to_whom_the_owner_gave_a_url_reads_that_object(attacked: EngineProcess) -> None:
    given = [_given_away(attacked).with_headers(User_Agent="x"), _given_away(attacked, "s3")]
    answers = Stranger(port_of(attacked)).send(given, "polite")
    assert [(answer.status, answer.body) for answer in answers] == [(200, b"given away")] * 2


def test_no_keys_come_of_a_call_that_aws_leaves_unsigned(attacked: EngineProcess) -> None:
    witness = Witness(attacked)
    for answer in Stranger(port_of(attacked)).send([_web_identity(), _saml()], "polite"):
        assert b"SecretAccessKey" not in answer.body
        assert (answer.status, answer.code) == (400, "InvalidIdentityToken")
    _assert_nothing_was_done(witness)


def test_what_motos_sts_tells_everybody_opens_nothing(attacked: EngineProcess) -> None:
    """Not even when the owner has asked for a session: the stranger has read moto's source."""
    attacked.client("sts").get_session_token()
    attacked.client("sts").get_federation_token(Name="federated")
    source = Path(str(find_spec("moto").origin)).with_name("sts").joinpath("responses.py").read_text()
    tokens = [line.split('"')[3] for line in source.splitlines() if '"SessionToken": "' in line]
    assert len(tokens) == 2
    call = ecs_call("CreateCluster", clusterName="strange")
    requests = [Signer(replace(_EXAMPLES[1], token=token), "ecs").sign(call) for token in ["", *tokens]]
    witness = Witness(attacked)
    answers = Stranger(port_of(attacked)).send(requests, "polite")
    assert {answer.code for answer in answers} == {"UnrecognizedClientException"}
    _assert_nothing_was_done(witness)


def test_the_engines_own_pages_are_not_for_strangers(attacked: EngineProcess) -> None:
    witness = Witness(attacked)
    body = b'{"access-denied": 1}'
    paths = "/_engine/faults", "/moto-api/reset", "/%6doto-api/reset", "//moto-api/reset"
    unsigned = {path: Request(path=path, body=body) for path in paths}
    bearers = {f"{path}, a bearer": each.with_headers(Authorization="Bearer ") for path, each in unsigned.items()}
    asked = unsigned | bearers
    answers = dict(zip(asked, Stranger(port_of(attacked)).send([*asked.values()], "polite"), strict=True))
    assert {what: answer.status for what, answer in answers.items() if answer.status not in (400, 403, 404)} == {}
    assert attacked.set_faults() == {}
    _assert_nothing_was_done(witness)


_ECS_LIST = ecs_call("ListClusters")


def test_a_refusal_does_not_wait_for_a_body_that_never_comes(engine: EngineProcess) -> None:
    endless = Request("PUT", f"/{_BUCKET}/large").with_headers(Content_Length=str(1 << 40)).encode()
    head = endless.replace(b"Content-Length: 0\r\n", b"")
    started = time.monotonic()
    with Stranger(port_of(engine)).holding([head]):
        assert engine.ecs.list_clusters()["clusterArns"]
    assert time.monotonic() - started < 10


def _half_sent() -> list[bytes]:
    """What a stranger may begin and never end."""
    call = ecs_call("CreateCluster", clusterName="strange")
    whole = call.encode()
    announced = whole.replace(f"Content-Length: {len(call.body)}".encode(), b"Content-Length: 1000000")
    chunked = whole.replace(f"Content-Length: {len(call.body)}".encode(), b"Transfer-Encoding: chunked")
    endless = chunked[: -len(call.body)] + b"ffffffff\r\n{"
    return [b"", whole[:10], whole[:100], whole[:-1], announced, endless, b"\x16\x03\x01"]


@_ON_BOTH
def test_strangers_who_hold_connections_do_not_shut_the_owner_out(attacked: EngineProcess) -> None:
    beginnings = [b""] * 500 + _half_sent() * 5
    witness = Witness(attacked)
    with Stranger(port_of(attacked)).holding(beginnings):
        _assert_owner_is_served(attacked)
    _assert_nothing_was_done(witness)
    _assert_owner_is_served(attacked)


def _assert_owner_is_served(engine: EngineProcess) -> None:
    """On a connection of its own, which a client that was there before does not need."""
    started = time.monotonic()
    answer = Signer(Keys.printed(engine.exports), "ecs").sign(_ECS_LIST).send(port_of(engine))
    assert (answer.status, time.monotonic() - started < 2) == (200, True)
    started = time.monotonic()
    assert engine.ecs.list_clusters()["clusterArns"]
    assert time.monotonic() - started < 2


def test_an_engine_whose_descriptors_strangers_used_up_serves_again_when_they_are_gone(
    engine: EngineProcess,
) -> None:
    witness = Witness(engine)
    assert engine.ecs.list_clusters()["clusterArns"]
    before = resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE)
    resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, (200, before[1]))
    try:
        with Stranger(port_of(engine)).holding([b""] * 400):
            _wait_for_most_descriptors(engine)
        _assert_owner_is_served(engine)
    finally:
        resource.prlimit(engine.process.pid, resource.RLIMIT_NOFILE, before)
    assert witness.errors() == []


def _wait_for_most_descriptors(engine: EngineProcess) -> None:
    """Until it takes no more of them, for now or for ever."""
    seen: list[int] = []

    def probe() -> bool | None:
        seen.append(len([*Path(f"/proc/{engine.process.pid}/fd").iterdir()]))
        return (len(seen) > 10 and len(set(seen[-10:])) == 1) or None

    wait_until(probe, deadline=20, what="the last descriptor", first_pause=0.05, longest_pause=0.05)
