"""ImageBuilder against the embedded engine, whose CodeBuild really builds with podman."""

from __future__ import annotations

import http.server
import itertools
import json
import signal
import subprocess
import threading
import time
import urllib.error
import urllib.request
import uuid
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError, ImageBuildError
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.providers.aws.aws import Aws, Credentials, connect
from pytest_fargate_sandbox.providers.images.content_tag import build_tag
from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder
from pytest_fargate_sandbox.providers.images.own_builds import builds_stopped
from tests.components import need
from tests.real_podman import busybox_image, podman, remove_images
from tests.warm_python import Popen

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.engine_process import EngineProcess

_PROGRAM = """
import sys, json
from pathlib import Path
from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import SandboxError
from pytest_fargate_sandbox.providers.aws.aws import Credentials, connect
from pytest_fargate_sandbox.providers.images.image_builder import ImageBuilder

endpoint, key, secret, shared, *directories = sys.argv[1:]
aws = connect(region="us-east-1", endpoint_url=endpoint, credentials=Credentials(key, secret))
for directory in directories:
    cfg = EcsFargateConfig(cluster="local", environment_dir=directory, build_parallelism=1)
    print("asking", flush=True)
    try:
        name = Path(directory).name
        print(ImageBuilder.ensure_image_built(cfg=cfg, environment_name=name, aws=aws, shared_dir=Path(shared)))
    except SandboxError as error:
        print(json.dumps(error.to_dict()))
"""


def keys_of(engine: EngineProcess) -> list[str]:
    """The endpoint, and who may call it."""
    return [engine.exports[f"AWS_{name}"] for name in ("ENDPOINT_URL", "ACCESS_KEY_ID", "SECRET_ACCESS_KEY")]


class Account:
    """What a test sees of an account: the engine's, from outside."""

    def __init__(self, engine: EngineProcess, aws: Aws, prefix: str) -> None:
        self._engine = engine
        self._prefix = prefix
        self.keys = keys_of(engine)
        self.aws = aws

    def calls(self, operation: str) -> int:
        return sum(line["operation"] == operation for line in self._engine.log_lines("call"))

    def builds(self) -> list[dict[str, Any]]:
        """Those of this test's images, the newest first."""
        ids = self.aws.call("codebuild", "ListBuilds")["ids"]
        builds: list[dict[str, Any]] = self.aws.call("codebuild", "BatchGetBuilds", ids=ids)["builds"] if ids else []
        return [build for build in builds if f":{self._prefix}" in str(build["environment"]["environmentVariables"])]

    def image(self, cfg: EcsFargateConfig, run: Path | None = None, **more: Any) -> str:
        """The one of the configuration's directory, built if need be, in the run that has this directory."""
        name = Path(cfg.environment_dir or "").name
        return ImageBuilder.ensure_image_built(
            cfg=cfg, environment_name=name, shared_dir=run, **{"aws": self.aws, **more}
        )

    def program(self, shared: Path, *directories: Path) -> subprocess.Popen[str]:
        command = ["-c", _PROGRAM, *self.keys, str(shared), *map(str, directories)]
        return Popen[str](command, stdout=subprocess.PIPE, text=True)


@pytest.fixture(scope="module")
def aws(podman_engine: EngineProcess) -> Aws:
    endpoint, *keys = keys_of(podman_engine)
    return connect(region="us-east-1", endpoint_url=endpoint, credentials=Credentials(*keys))


@pytest.fixture
def account(podman_engine: EngineProcess, aws: Aws, prefix: str) -> Account:
    return Account(podman_engine, aws, prefix)


@pytest.fixture(scope="module")
def prefixes() -> Iterator[Iterator[str]]:
    """Names for the images of a test each, which go when all have ended."""
    name = f"t{uuid.uuid4().hex[:10]}"
    yield (f"{name}-{number:02}" for number in itertools.count())
    remove_images(f":{name}")


@pytest.fixture
def prefix(prefixes: Iterator[str]) -> str:
    return next(prefixes)


def _environment(tmp_path: Path, name: str, *lines: str) -> Path:
    if any(line.startswith("RUN ") for line in lines):
        need("build steps")
    directory = tmp_path / name
    directory.mkdir()
    (directory / "Dockerfile").write_text("\n".join([f"FROM {busybox_image()}", f"LABEL test={name}", *lines]) + "\n")
    return directory


def _config(directory: Path, **fields: Any) -> EcsFargateConfig:
    return EcsFargateConfig(cluster="local", environment_dir=str(directory), **fields)


def _given_up_after(seconds: int, cfg: EcsFargateConfig) -> EcsFargateConfig:
    """The time-out counts whole minutes, which is too long for a test."""
    object.__setattr__(cfg, "codebuild_build_timeout", seconds / 60)
    return cfg


def _shared(tmp_path: Path, name: str = "run") -> Path:
    (tmp_path / name).mkdir(exist_ok=True)
    return tmp_path / name


def test_an_image_is_built_once_and_found_in_the_next_run(
    account: Account, prefix: str, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", logger="pytest_fargate_sandbox.images")
    directory = _environment(tmp_path, prefix, "COPY data /data")
    (directory / "data").write_text("from the context")
    (directory / "data").chmod(0o640)

    def ensure(run: str, **more: Any) -> str:
        return account.image(_config(directory), _shared(tmp_path, run), **more)

    image = ensure("first")
    assert image.endswith(f"/fargate-sandbox:{build_tag(directory, prefix, 'X86_64')}")
    assert len(account.builds()) == 1
    asked = account.calls("DescribeImages")
    assert ensure("second") == ensure("second") == image
    assert account.calls("DescribeImages") == asked + 1
    assert len(account.builds()) == 1
    assert (
        podman().run(
            "run", "--rm", "--network", "none", *podman().ulimit_options(()), image, "stat", "-c", "%a", "/data"
        )
        == "640"
    )

    assert ensure("third", force_build=True) == image
    assert len(account.builds()) == 2
    told = [message.partition(" after")[0] for message in caplog.messages]
    assert told == [f"{image}: is built", f"{image}: is there", f"{image}: is built"]


class Crowd(NamedTuple):
    """What processes of one run said that all want the images of two directories, in another order each; the builds."""

    said: list[list[str]]
    builds: list[dict[str, Any]]


@pytest.fixture(scope="module")
def crowd(
    podman_engine: EngineProcess, aws: Aws, prefixes: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Crowd:
    name, place = next(prefixes), tmp_path_factory.mktemp("crowd")
    account = Account(podman_engine, aws, name)
    first, second = (_environment(place, f"{name}{letter}") for letter in "ab")
    orders = [(first, second), (second, first), (first, second)]
    programs = [account.program(_shared(place), *order) for order in orders]
    return Crowd([sorted(program.communicate(timeout=60)[0].splitlines()) for program in programs], account.builds())


def test_many_processes_and_a_few_directories_are_that_many_builds(crowd: Crowd) -> None:
    assert [said == crowd.said[0] for said in crowd.said] == [True] * 3, crowd.said
    assert [build["buildStatus"] for build in crowd.builds] == ["SUCCEEDED"] * 2


def test_at_most_build_parallelism_builds_run_at_once(crowd: Crowd) -> None:
    (_, ended), (began, _) = sorted((build["startTime"], build["endTime"]) for build in crowd.builds)
    assert ended <= began


class Broken:
    """A directory whose image cannot be built, which a run has found out."""

    def __init__(self, podman_engine: EngineProcess, aws: Aws, prefix: str, place: Path) -> None:
        self.account = Account(podman_engine, aws, prefix)
        self.directory = _environment(place, prefix, "RUN echo fine", "RUN echo no such package; exit 7")
        self.first_run = _shared(place)
        self.error = self.error_of(self.first_run)

    def error_of(self, run: Path) -> ImageBuildError:
        with pytest.raises(ImageBuildError) as caught:
            self.account.image(_config(self.directory), run)
        return caught.value


@pytest.fixture(scope="module")
def broken(
    podman_engine: EngineProcess, aws: Aws, prefixes: Iterator[str], tmp_path_factory: pytest.TempPathFactory
) -> Broken:
    return Broken(podman_engine, aws, next(prefixes), tmp_path_factory.mktemp("broken"))


def test_a_dockerfile_that_fails_tells_the_step_and_its_output(broken: Broken) -> None:
    assert broken.error.phase == "BUILD"
    assert "RUN echo no such package; exit 7" in broken.error.log_tail
    assert "\nno such package" in broken.error.log_tail
    first, second, *_ = str(broken.error).splitlines()
    assert first.startswith("an image could not be built: FAILED in phase BUILD: ")
    assert second.startswith("image: 123456789012.dkr.ecr.")


def test_a_failure_is_everybodys_in_this_run_and_is_tried_again_in_the_next(broken: Broken, tmp_path: Path) -> None:
    builds = len(broken.account.builds())
    said, _ = broken.account.program(broken.first_run, broken.directory).communicate(timeout=30)
    assert json.loads(said.splitlines()[-1]) == broken.error.to_dict()
    assert len(broken.account.builds()) == builds

    assert "no such package" in broken.error_of(_shared(tmp_path, "next")).log_tail
    assert len(broken.account.builds()) == builds + 1


def test_a_builder_that_is_killed_is_replaced_and_its_build_is_taken_over(
    account: Account, prefix: str, tmp_path: Path
) -> None:
    directory = _environment(tmp_path, prefix, "RUN sleep 2")
    shared = _shared(tmp_path)
    first = account.program(shared, directory)
    wait_until(lambda: account.builds() or None, deadline=20, what="a build")
    second = account.program(shared, directory)
    assert second.stdout is not None
    assert second.stdout.readline() == "asking\n"
    first.kill()
    first.communicate()

    assert ":" in second.communicate(timeout=30)[0]
    assert [build["buildStatus"] for build in account.builds()] == ["SUCCEEDED"]


def test_ctrl_c_stops_the_build_that_it_interrupts(account: Account, prefix: str, tmp_path: Path) -> None:
    directory = _environment(tmp_path, prefix, "RUN sleep 60")
    program = account.program(_shared(tmp_path), directory)
    polled = account.calls("BatchGetBuilds")
    wait_until(lambda: account.builds() or None, deadline=20, what="a build")
    wait_until(lambda: account.calls("BatchGetBuilds") > polled or None, deadline=30, what="somebody who waits for it")
    program.send_signal(signal.SIGINT)
    program.communicate(timeout=20)

    def stopped() -> bool | None:
        return [build["buildStatus"] for build in account.builds()] == ["STOPPED"] or None

    wait_until(stopped, deadline=10, what="the end of the build")


def test_where_builds_are_stopped_none_goes_on_and_none_begins(account: Account, prefix: str, tmp_path: Path) -> None:
    directory = _environment(tmp_path, prefix, "RUN sleep 60")
    with ThreadPoolExecutor() as threads:
        under_way = threads.submit(account.image, _config(directory))
        wait_until(lambda: account.builds() or None, deadline=20, what="a build")
        with builds_stopped():
            with pytest.raises(ImageBuildError, match="the run that asked for it is ending"):
                under_way.result(timeout=20)
            with pytest.raises(ImageBuildError, match="the run that asked for it is ending"):
                account.image(_config(directory))
    assert len(account.builds()) == 1
    wait_until(lambda: account.builds()[0]["buildStatus"] == "STOPPED" or None, deadline=10, what="the build's end")


def test_a_build_that_somebody_else_stopped_is_started_again(account: Account, prefix: str, tmp_path: Path) -> None:
    directory = _environment(tmp_path, prefix, "RUN sleep 1")

    def stop_the_first() -> None:
        running = wait_until(lambda: account.builds() or None, deadline=20, what="a build")
        account.aws.call("codebuild", "StopBuild", id=running[0]["id"])

    stopper = threading.Thread(target=stop_the_first)
    stopper.start()
    account.image(_config(directory), _shared(tmp_path))
    stopper.join()

    assert [build["buildStatus"] for build in account.builds()] == ["SUCCEEDED", "STOPPED"]


def test_a_build_that_hangs_is_given_up_and_stopped(account: Account, prefix: str, tmp_path: Path) -> None:
    directory = _environment(tmp_path, prefix, "RUN echo hanging; sleep 60")
    for seconds in (2, 8, 30):  # until it has come so far, which takes long on a busy machine
        began = time.monotonic()
        with pytest.raises(ImageBuildError, match="codebuild_build_timeout") as caught:
            account.image(_given_up_after(seconds, _config(directory)), _shared(tmp_path, f"run-{seconds}"))
        assert time.monotonic() - began < seconds + 18
        if "hanging" in caught.value.log_tail:
            break

    assert caught.value.phase == "BUILD"
    assert "hanging" in caught.value.log_tail
    wait_until(lambda: account.builds()[0]["buildStatus"] == "STOPPED" or None, deadline=10, what="the build's end")


def test_a_project_that_does_not_exist_is_an_error_that_names_it(account: Account, prefix: str, tmp_path: Path) -> None:
    directory = _environment(tmp_path, prefix)

    with pytest.raises(ImageBuildError, match="project/nobodys") as caught:
        account.image(_config(directory, codebuild_project="nobodys"), _shared(tmp_path))

    assert caught.value.phase == "codebuild:StartBuild"


class Forbidding(http.server.BaseHTTPRequestHandler):
    """Passes everything on to the engine but StartBuild, which IAM refuses."""

    engine: str

    def do_POST(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        if self.headers.get("X-Amz-Target", "").endswith(".StartBuild"):
            text = (
                "User: arn:aws:iam::123456789012:user/me is not authorized to perform: codebuild:StartBuild on resource"
            )
            self._answer(400, json.dumps({"__type": "AccessDeniedException", "message": text}).encode())
            return
        request = urllib.request.Request(self.engine + self.path, body, dict(self.headers), method=self.command)
        try:
            with urllib.request.urlopen(request) as answer:
                self._answer(answer.status, answer.read())
        except urllib.error.HTTPError as refusal:
            self._answer(refusal.code, refusal.read())

    do_PUT = do_HEAD = do_POST  # noqa: N815

    def _answer(self, status: int, body: bytes) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def log_message(self, *_: Any) -> None:
        pass


def test_a_project_without_permission_names_the_action_that_is_missing(
    account: Account, prefix: str, tmp_path: Path
) -> None:
    handler = type("Handler", (Forbidding,), {"engine": account.keys[0]})
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever).start()
        endpoint = f"http://127.0.0.1:{server.server_address[1]}"
        forbidden = connect(region="us-east-1", endpoint_url=endpoint, credentials=Credentials(*account.keys[1:]))
        with pytest.raises(ImageBuildError, match="lack the IAM action codebuild:StartBuild") as caught:
            account.image(_config(_environment(tmp_path, prefix)), _shared(tmp_path), aws=forbidden)
        server.shutdown()

    assert caught.value.phase == "codebuild:StartBuild"


def test_on_aws_what_is_needed_is_named_before_any_call(tmp_path: Path) -> None:
    (tmp_path / "Dockerfile").write_text("FROM scratch\n")
    nowhere = connect(region="us-east-1", endpoint_url="http://127.0.0.1:9")

    with pytest.raises(ConfigError, match="environment_dir is not set"):
        ImageBuilder.ensure_image_built(cfg=EcsFargateConfig(cluster="c"), environment_name="x", aws=nowhere)
    with pytest.raises(ConfigError, match="ecr_repository is not set"):
        EcsFargateConfig(cluster="c", environment_dir=str(tmp_path))
    with pytest.raises(ConfigError, match="without a tag"):
        ImageBuilder.image_exists_in_ecr("repository:tag", "tag", aws=nowhere)


def test_an_image_that_ecr_does_not_have_is_not_there(account: Account) -> None:
    account.aws.call("ecr", "CreateRepository", repositoryName="mine")

    assert not ImageBuilder.image_exists_in_ecr("mine", "tag", aws=account.aws)
    assert not ImageBuilder.image_exists_in_ecr("nobodys", "tag", aws=account.aws)
