"""CodeBuild as a foreign client sees it: plain boto3, our buildspec, and tasks that run what was built."""

from __future__ import annotations

import io
import os
import re
import shutil
import subprocess
import tarfile
import uuid
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from botocore.exceptions import ClientError

from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.local.runners.podman import mounts_of_step
from pytest_fargate_sandbox.local.runners.podman.mounts_of_step import ANY_NETWORK, OWN_NETWORK
from pytest_fargate_sandbox.local.runners.task_limits import most_processes
from pytest_fargate_sandbox.providers.images.buildspec import BUILDSPEC
from tests.components import need
from tests.local.engine_process import OF_A_PROXY, ROLE, EngineProcess, container, container_states
from tests.processes import command_lines
from tests.real_podman import busybox_image, podman

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

REGISTRY = "123456789012.dkr.ecr.us-east-1.amazonaws.com"
_MISSING = {"sourceTypeOverride": "S3", "sourceLocationOverride": "contexts/missing.zip"}


@pytest.fixture(scope="session")
def builders(engine: EngineProcess) -> EngineProcess:
    """The engine of all, in which CodeBuild has been set up."""
    podman()
    return set_up(engine)


@pytest.fixture(scope="session")
def builders_on_podman(podman_engine: EngineProcess) -> EngineProcess:
    return set_up(podman_engine)


def set_up(engine: EngineProcess) -> EngineProcess:
    engine.client("s3").create_bucket(Bucket="contexts")
    engine.client("ecr").create_repository(repositoryName="built")
    engine.client("codebuild").create_project(
        name="builds",
        source={"type": "S3", "location": "contexts/none.zip"},
        artifacts={"type": "NO_ARTIFACTS"},
        environment={"type": "LINUX_CONTAINER", "image": "x", "computeType": "BUILD_GENERAL1_SMALL"},
        serviceRole="arn:aws:iam::123456789012:role/builds",
    )
    return engine


@pytest.fixture
def image() -> Iterator[str]:
    """Of a build that makes one."""
    reference = unmade()
    yield reference
    podman().succeeds("rmi", "-f", reference)


def unmade(repository: str = "built") -> str:
    return f"{REGISTRY}/{repository}:{uuid.uuid4().hex[:10]}"


def start(
    engine: EngineProcess,
    image: str,
    *lines: str,
    link: str = "",
    said: str = "of the context\n",
    more: Sequence[tarfile.TarInfo] = (),
    **fields: Any,
) -> str:
    """Upload a context, with a ``link`` in it, and start its build; the build's id."""
    dockerfile = "\n".join([f"FROM {busybox_image()} AS earlier", *lines])
    files = {"Dockerfile": dockerfile, "Containerfile": "FROM nobody/knows", "sub/file": said}
    packed, zipped = io.BytesIO(), io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w") as archive:
        for name, text in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(text)
            archive.addfile(member, io.BytesIO(text.encode()))
        member = tarfile.TarInfo("link")
        member.type, member.linkname = tarfile.SYMTYPE, link
        for each in (member, *more):
            archive.addfile(each)
    with zipfile.ZipFile(zipped, "w") as archive_of_it:
        archive_of_it.writestr("context.tar", packed.getvalue())
    key = f"{uuid.uuid4().hex}.zip"
    engine.client("s3").put_object(Bucket="contexts", Key=key, Body=zipped.getvalue())
    return _start_build(
        engine, image, **{"sourceTypeOverride": "S3", "sourceLocationOverride": f"contexts/{key}", **fields}
    )


def _start_build(engine: EngineProcess, image: str, *, source_image: str = "", **fields: Any) -> str:
    variables = {"SANDBOX_IMAGE": image, "SANDBOX_SOURCE_IMAGE": source_image, "SANDBOX_PLATFORM": "linux/amd64"}
    request = {
        "projectName": "builds",
        "buildspecOverride": BUILDSPEC,
        "environmentVariablesOverride": [{"name": name, "value": value} for name, value in variables.items()],
        **fields,
    }
    started: str = engine.client("codebuild").start_build(**request)["build"]["id"]
    return started


def finished(engine: EngineProcess, build_id: str) -> dict[str, Any]:
    def probe() -> dict[str, Any] | None:
        build: dict[str, Any] = engine.client("codebuild").batch_get_builds(ids=[build_id])["builds"][0]
        return build if build["buildComplete"] else None

    return wait_until(probe, deadline=60, what="the end of the build")


def _log(engine: EngineProcess, build: dict[str, Any]) -> str:
    names = {"logGroupName": build["logs"]["groupName"], "logStreamName": build["logs"]["streamName"]}
    return "\n".join(event["message"] for event in engine.client("logs").get_log_events(**names)["events"])


def failed_phase(build: dict[str, Any]) -> tuple[str, str]:
    failed = next(phase for phase in build["phases"] if phase.get("phaseStatus") == "FAILED")
    return failed["phaseType"], failed["contexts"][0]["message"]


@pytest.mark.needs("build steps")
@pytest.mark.trials("engine_of", "builders", "builders_on_podman")
def test_what_is_built_is_what_a_task_of_that_url_runs(
    request: pytest.FixtureRequest, engine_of: str, image: str
) -> None:
    """podman builds for both engines; and a task of what was built runs in podman on both."""
    engine: EngineProcess = request.getfixturevalue(engine_of)
    build = finished(engine, start(engine, image, "RUN echo 5 > /code", 'CMD exit "$(cat /code)"'))
    assert build["buildStatus"] == "SUCCEEDED", _log(engine, build)
    assert [phase["phaseType"] for phase in build["phases"]][-1] == "COMPLETED"
    assert "RUN echo 5 > /code" in _log(engine, build)

    tag = {"imageTag": image.rpartition(":")[2]}
    details = engine.client("ecr").describe_images(repositoryName="built", imageIds=[tag])["imageDetails"]
    assert details[0]["registryId"] == "123456789012"

    definition = engine.register(
        {**container(), "image": image, "entryPoint": [], "command": []}, executionRoleArn=ROLE
    )
    arn = engine.launch(definition)
    assert container_states(engine.wait(arn, "STOPPED"))["main"][1] == 5


@pytest.mark.needs("build steps")
def test_a_build_survives_that_the_image_of_its_step_is_removed(builders: EngineProcess, image: str) -> None:
    """As with the image of another build that has made the same step."""
    steps = (f"RUN echo {uuid.uuid4()} > /first", "RUN sleep 0.5", "RUN cat /first")
    build_id = start(builders, image, *steps)

    def of_first_step() -> str | None:
        build = builders.client("codebuild").batch_get_builds(ids=[build_id])["builds"][0]
        made = re.findall("^--> ([0-9a-f]+)$", _log(builders, build), re.MULTILINE)
        return made[0] if made else None

    podman().run("rmi", "-f", wait_until(of_first_step, deadline=30, what="the image of the first step"))
    build = finished(builders, build_id)
    assert build["buildStatus"] == "SUCCEEDED", _log(builders, build)
    assert "building again" in _log(builders, build)


_STEPS = (
    "echo sorry",
    "chmod 0640 /proc/meminfo || echo held: chmod",
    "unshare -r true || echo held: unshare",
    "grep -q . /proc/slabinfo || echo held: slabinfo",
    "grep -q . /proc/meminfo && echo can be read",
    "env",
    "for each in /sys/fs/cgroup/pids /sys/fs/cgroup/memory /sys/fs/cgroup$(sed -n s/^0:://p /proc/self/cgroup)",
    "do head -n 1 $each/pids.max $each/memory.max $each/memory.limit_in_bytes 2> /dev/null",
    "done",
    "ulimit -u",
)


@pytest.fixture(scope="module")
def failed(builders: EngineProcess) -> dict[str, Any]:
    """A build of one step, in which root tries what he may not, and which fails."""
    need("build steps")
    return finished(builders, start(builders, unmade(), f"RUN {'; '.join(_STEPS)}; exit 3"))


def test_a_step_that_fails_is_told_as_codebuild_tells_it(builders: EngineProcess, failed: dict[str, Any]) -> None:
    assert failed["buildStatus"] == "FAILED"
    assert failed_phase(failed) == ("BUILD", "Error while executing command: podman build. Reason: exit status 3")
    assert "sorry" in _log(builders, failed).splitlines()


def test_a_step_takes_no_more_processes_than_a_task_and_not_all_memory(
    builders: EngineProcess, failed: dict[str, Any]
) -> None:
    said = _log(builders, failed).splitlines()
    assert str(most_processes()) in said
    if os.geteuid() != 0:
        return  # no group of its own limits a step
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert [line for line in said if line.isdecimal() and 0.8 * memory < int(line) < 0.9 * memory]


def test_a_step_knows_no_password_of_this_machines_proxy(builders: EngineProcess, failed: dict[str, Any]) -> None:
    said = _log(builders, failed)
    assert "PATH=" in said
    assert OF_A_PROXY not in said


@pytest.mark.root
def test_root_of_a_step_neither_changes_the_hosts_proc_nor_gets_new_rights(
    builders: EngineProcess, failed: dict[str, Any]
) -> None:
    log = _log(builders, failed).splitlines()
    # A mount that is in use goes on showing what it has seen once.
    fresh = ["unshare", "--pid", "--fork", "--mount", "--mount-proc", "stat", "-c", "%a", "/proc/meminfo"]
    seen = subprocess.check_output(fresh, text=True)
    Path("/proc/meminfo").chmod(0o444)
    assert seen == "444\n"
    assert [line for line in log if line.startswith("held: ")] == ["held: chmod", "held: unshare", "held: slabinfo"]
    assert "can be read" in log


_OUT = (
    "--mount=type=bind,source=link,target=/host",
    "--mount=type=cache,id=../../../../../../../etc,target=/host",
    "--mount=type=bind,from=earlier,source=/link,target=/host,rw",
)
_IN = (
    "--mount=type=bind,source=sub,target=/sub",
    "--mount=type=cache,target=/cache",
    "--mount=type=bind,from=earlier,source=/made,target=/made",
    "--mount=type=tmpfs,target=/none",
    "--mount=type=bind,source=sub,target=/written,rw",
)


@pytest.mark.needs("build steps")
@pytest.mark.trials("mount", *_OUT)
def test_a_step_mounts_nothing_of_this_machine(builders: EngineProcess, mount: str) -> None:
    """Old builders do it by a link in the context or an earlier stage, or a cache's name; new ones find nothing."""
    step = f"RUN {mount} ls /host; echo {uuid.uuid4()}"
    earlier = f"RUN ln -s /etc /link; echo {uuid.uuid4()}"  # podman 4 lacks a stage that it knew
    build = finished(builders, start(builders, unmade(), earlier, f"FROM {busybox_image()}", step, link="/etc"))
    assert build["buildStatus"] == "FAILED"
    said = _log(builders, build)
    assert "is a part of this machine" in said or "no such file or directory" in said
    assert "hostname" not in _log(builders, build).splitlines()


@pytest.mark.needs("build steps")
def test_a_step_mounts_what_is_its_builds_own(builders: EngineProcess, image: str) -> None:
    """And not what it was in an earlier build, nor the cache that one had."""
    seen = "cat /sub/file /made/file && ls /cache && touch /cache/cached /none/x /written/x && ls /volume"
    stages = (
        f"RUN mkdir /made && echo earlier > /made/file; echo {uuid.uuid4()}",
        f"FROM {busybox_image()}",
        "VOLUME /volume",
        f"RUN {' '.join(_IN)} {seen}".replace("mount", "mo\\\n# a comment\n\nunt"),
    )
    for said in ("of the context", "of another"):
        build = finished(builders, start(builders, image, *stages, said=f"{said}\n"))
        log = _log(builders, build)
        assert build["buildStatus"] == "SUCCEEDED", log
        assert {said, "earlier"} <= {*log.splitlines()}
        assert "cached" not in log.splitlines()


@pytest.mark.needs("build steps")
def test_a_step_has_no_network_of_this_machine(builders: EngineProcess) -> None:
    """podman 4 knows no such flag."""
    step = "RUN --network=host readlink /proc/self/ns/net"
    build = finished(builders, start(builders, unmade(), step))
    assert build["buildStatus"] == "FAILED"
    said = _log(builders, build)
    assert "no step has the network of this machine" in said or "RUN only supports the --mount flag" in said
    assert str(Path("/proc/self/ns/net").readlink()) not in said


def test_who_gives_all_containers_this_machines_network_gives_it_to_steps(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"linux": {"namespaces": [{"type": "pid"}]}, "mounts": []}')
    told = {network: mounts_of_step.main(str(tmp_path), network, "/c", "/t") for network in (OWN_NETWORK, ANY_NETWORK)}
    assert told == {OWN_NETWORK: 1, ANY_NETWORK: 0}


@pytest.mark.needs("build steps")
def test_what_a_base_image_has_its_children_mount_is_their_own(builders: EngineProcess, image: str) -> None:
    """Its Dockerfile says so by ONBUILD, and theirs say nothing of it."""
    base = f"localhost/{uuid.uuid4().hex[:10]}"
    dockerfile = f"FROM {busybox_image()}\nONBUILD RUN --mount=type=bind,source=sub,target=/sub cat /sub/file"
    podman().run("build", "--format", "docker", "--tag", base, "-", stdin=dockerfile.encode())
    for said in ("of the context", "of another"):
        build = finished(builders, start(builders, image, f"FROM {base}", said=f"{said}\n"))
        assert said in _log(builders, build).splitlines()
    podman().run("rmi", "-f", base)


def test_what_a_build_leaves_out_stands_in_no_file_of_this_machine(builders: EngineProcess, tmp_path: Path) -> None:
    """podman shows all lines of the file where one is no pattern, and else leaves out what the others say."""
    secret = tmp_path / "secret"
    secret.write_text("sub/file\ns3cret[\n")
    links = []
    for name in (".containerignore", ".dockerignore", "Dockerfile.dockerignore"):
        links.append(tarfile.TarInfo(name))
        links[-1].type, links[-1].linkname = tarfile.SYMTYPE, str(secret)
    build = finished(builders, start(builders, (image := unmade()), "COPY sub/file /", more=links))
    assert "s3cret" not in _log(builders, build)
    assert build["buildStatus"] == "SUCCEEDED"
    podman().succeeds("rmi", "-f", image)


def test_a_dockerfile_stands_on_no_file_of_this_machine(builders: EngineProcess, tmp_path: Path) -> None:
    archive = tmp_path / "archive.tar"
    podman().run("save", "--format", "docker-archive", "--output", str(archive), busybox_image())
    build = finished(builders, start(builders, unmade(), f"FROM docker-archive:{archive}", "COPY . /"))
    assert build["buildStatus"] == "FAILED"
    assert "rejected by policy" in _log(builders, build)


def test_a_context_that_leads_out_of_itself_is_unpacked_nowhere(builders: EngineProcess, tmp_path: Path) -> None:
    """By a name, by a link of its own, by a hard link to what is there already."""
    there = tmp_path / "there"
    there.write_text("this machine's")
    hard = tarfile.TarInfo("hard")
    hard.type, hard.linkname = tarfile.LNKTYPE, str(there)
    for member in (tarfile.TarInfo(f"{tmp_path}/new"), tarfile.TarInfo("../new"), tarfile.TarInfo("link/new"), hard):
        build = finished(builders, start(builders, unmade(), "COPY . /", link=str(tmp_path), more=[member]))
        phase, words = failed_phase(build)
        assert phase == "DOWNLOAD_SOURCE"
        assert words.startswith(f"the context's {member.name} leads out of it, to ")
    assert [each.name for each in tmp_path.iterdir()] == ["there"]


def test_a_source_that_is_not_there_fails_the_download(builders: EngineProcess) -> None:
    build = finished(builders, _start_build(builders, unmade(), **_MISSING))
    assert failed_phase(build)[0] == "DOWNLOAD_SOURCE"
    assert "missing.zip" in failed_phase(build)[1]


def test_a_repository_that_is_not_there_fails_the_push(builders: EngineProcess) -> None:
    image = unmade("nobodys")
    mirrored = {"source_image": busybox_image(), "sourceTypeOverride": "NO_SOURCE"}
    build = finished(builders, _start_build(builders, image, **mirrored))
    podman().run("rmi", image)
    assert failed_phase(build)[0] == "POST_BUILD"
    assert "'nobodys' does not exist" in failed_phase(build)[1]


def test_another_buildspec_is_refused(builders: EngineProcess) -> None:
    build = finished(builders, _start_build(builders, unmade(), buildspecOverride="version: 0.2\n", **_MISSING))
    assert "not any other buildspec" in failed_phase(build)[1]


def test_the_same_token_is_the_same_build_and_other_words_under_it_are_refused(builders: EngineProcess) -> None:
    image, token = unmade(), {"idempotencyToken": uuid.uuid4().hex, "timeoutInMinutesOverride": 5, **_MISSING}
    started = _start_build(builders, image, **token)
    assert _start_build(builders, image, **token) == started
    with pytest.raises(ClientError, match="InvalidInputException"):
        _start_build(builders, image, **{**token, "timeoutInMinutesOverride": 6})


@pytest.mark.needs("build steps")
def test_a_stopped_build_ends_its_builder(builders: EngineProcess) -> None:
    marker = f"6{uuid.uuid4().int % 10**6:06d}"
    build_id = start(builders, unmade(), f"RUN sleep {marker}")
    wait_until(lambda: True if _runs(marker) else None, deadline=30, what="the build's step")
    builders.client("codebuild").stop_build(id=build_id)
    assert finished(builders, build_id)["buildStatus"] == "STOPPED"
    wait_until(lambda: None if _runs(f"sleep {marker}") else True, deadline=10, what="the end of the step")


@pytest.mark.needs("namespaces")
def test_without_podman_and_docker_the_build_fails_with_the_sentence_that_says_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "setpriv").symlink_to(str(shutil.which("setpriv")))
    monkeypatch.setenv("PATH", str(tmp_path))
    engine = EngineProcess()
    try:
        set_up(engine)
        phase, words = failed_phase(finished(engine, _start_build(engine, unmade(), **_MISSING)))
    finally:
        engine.close()
    assert phase == "PROVISIONING"
    assert "neither podman nor docker" in words


def _runs(marker: str) -> bool:
    lines = map(" ".join, command_lines())
    return any(marker in line for line in lines if "RUN" not in line)
