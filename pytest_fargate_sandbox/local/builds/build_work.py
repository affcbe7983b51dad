"""The work of a build: its context out of S3, an image by podman or docker, and a line in ECR that says it is there.

The buildspec's commands are not run; its effect is brought about from the variables that they read. So a buildspec
that says something else is refused.
"""

from __future__ import annotations

import hashlib
import json
import re
import shutil
import subprocess
import sys
import tarfile
import threading
import time
import zipfile
from collections import deque
from contextlib import contextmanager
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.temporary_directory import TemporaryDirectory
from pytest_fargate_sandbox.local.ecs.log_streams import LogStream
from pytest_fargate_sandbox.local.moto_services import backend
from pytest_fargate_sandbox.local.runners import podman
from pytest_fargate_sandbox.local.runners.podman.command_line import (
    PROGRAMS,
    CommandFailed,
    ContainerCommand,
    environment_of_builds,
)
from pytest_fargate_sandbox.local.runners.podman.network_of_steps import network_program, no_network
from pytest_fargate_sandbox.local.runners.podman.stored_images import full_reference
from pytest_fargate_sandbox.providers.images import buildspec
from pytest_fargate_sandbox.providers.images.build_context import TAR_NAME

if TYPE_CHECKING:
    from collections.abc import Iterator

    from pytest_fargate_sandbox.local.builds.build import Build
    from pytest_fargate_sandbox.local.runners.runner_by_images import RunnerByImages

NEITHER_IS_HERE = (
    "this machine has neither podman nor docker, and the local engine builds images with one of them: "
    "install podman (`apt-get install podman`), or name an image that is built already"
)
_MANIFEST_TYPE = "application/vnd.docker.distribution.manifest.v2+json"
_POLL_SEC = 0.2
_TAKEN_AWAY = re.compile(r"(layer|image|container) not known|identifier is not a container")
_CONTINUED = re.compile(rb"[\\`][ \t]*\r?\n(?:[ \t]*(?:#[^\n]*)?\r?\n)*")
"""Between two parts of a Dockerfile's line, and of a word: comments and empty lines are as if they were not there."""
_FROM = re.compile(rb"^[ \t]*FROM[ \t]+(?:--\S+[ \t]+)*(\S+)", re.IGNORECASE | re.MULTILINE)
_MOST_BASES = 20
"""So many are looked at, each for a twentieth of a second."""
_SUPERVISOR = Path(podman.__file__).with_name("supervised.py")


class _Failed(Exception):
    """The phase failed; the text is its context's message."""


class _Ended(Exception):
    """The build was stopped, or its time is over; the text is the build's status."""


class BuildWork:
    """Does one build in a thread of its own."""

    def __init__(self, build: Build, runner: RunnerByImages) -> None:
        self._build = build
        self._runner = runner
        self._image = build.variables.get(buildspec.IMAGE, "")
        self._log = LogStream(build.log_group, build.stream, create_group=True)
        self._said_last: deque[str] = deque([""], maxlen=10)
        self._deadline = time.monotonic() + build.timeout_minutes * 60

    def start(self) -> None:
        threading.Thread(target=self._run, name=f"build-{self._build.stream[:8]}", daemon=True).start()

    def _run(self) -> None:
        status = "SUCCEEDED"
        directory = TemporaryDirectory("build-")
        try:
            self._work(directory.path)
        except _Ended as ended:
            status = str(ended)
            self._build.fail_phase(status, "")
        except Exception as error:  # whatever it was, it is the build's failure and must be told as one
            status = "FAILED"
            message = str(error) or type(error).__name__
            self._log.put(message)
            self._build.fail_phase("FAILED", message)
        finally:
            directory.remove()
            self._build.enter("FINALIZING")
            self._build.finish(status)

    def _work(self, directory: Path) -> None:
        build = self._build
        build.enter("QUEUED")
        build.enter("PROVISIONING")
        if build.describe()["source"]["buildspec"] != buildspec.BUILDSPEC:
            raise _Failed("the local engine runs the builds of pytest-fargate-sandbox only, not any other buildspec")
        command = self._command()
        context = directory / "context"
        command.protect_from_builds(directory, context)
        build.enter("DOWNLOAD_SOURCE")
        if build.source:
            self._fetch(context)
        build.enter("INSTALL")
        build.enter("PRE_BUILD")
        build.enter("BUILD")
        if build.source:
            self._run_builder(command, context)
        else:
            self._pull(command)
        build.enter("POST_BUILD")
        _register(self._image, _digest(command, self._image))
        self._runner.note_built(self._image, command.program)
        build.enter("UPLOAD_ARTIFACTS")

    def _command(self) -> ContainerCommand:
        program = self._runner.name if self._runner.name in PROGRAMS else next(filter(shutil.which, PROGRAMS), None)
        if program is None:
            raise _Failed(NEITHER_IS_HERE)
        return ContainerCommand(program)

    def _fetch(self, context: Path) -> None:
        bucket, _, key = self._build.source.partition("/")
        stored = backend("s3", "aws").get_object(bucket, key)
        if stored is None:
            raise _Failed(f"NoSuchKey: the source {self._build.source} does not exist")
        # moto's own spool file behind the object: a gigabyte is not to be copied into memory.
        with (
            stored.lock,
            zipfile.ZipFile(stored._value_buffer) as archive,
            archive.open(TAR_NAME) as member,
            tarfile.open(fileobj=member, mode="r|") as packed,
        ):
            _unpack(packed, context)

    def _run_builder(self, command: ContainerCommand, context: Path) -> None:
        # For this machine's own architecture, whatever was asked for: here is where the image will run.
        dockerfile = _dockerfile_in(context)
        options = ["--tag", self._image, "--file", str(dockerfile), *command.security_options]
        if command.is_podman:
            if _may_mount(command, dockerfile):
                # podman takes a step for one that it knows without a look at what is mounted in it.
                options.append("--no-cache")
            # Docker's own format knows HEALTHCHECK and SHELL; and podman asks for more than a bounded user may have.
            options += ["--format", "docker", "--force-rm", *command.proxy_options()]
            options += command.namespace_options()
            options += ["--ignorefile", str(_ignore_file_of(context))]
            options += command.build_limit_options()
        try:
            self._build_by(command, *options, str(context))
        except _Failed as failed:
            if (program := network_program(command)) and any(program in line for line in self._said_last):
                raise _Failed(": ".join(filter(None, (str(failed), no_network(command))))) from None
            raise
        finally:
            command.remove_caches(context.parent)

    def _build_by(self, command: ContainerCommand, *arguments: str) -> None:
        """Again, and without steps that others see, where another build's end took the images of steps away.

        podman removes with an image what it was made of, though a build that runs has just found it:
        https://github.com/containers/buildah/issues/5674
        """
        try:
            self._follow(command.argv("build", *arguments))
        except _Failed:
            if not (command.is_podman and _TAKEN_AWAY.search(self._said_last[-1])):
                raise
            self._log.put("the image of a step was removed while it was needed; building again")
            self._follow(command.argv("build", "--layers=false", *arguments))

    def _pull(self, command: ContainerCommand) -> None:
        source = full_reference(self._build.variables[buildspec.SOURCE_IMAGE])
        if not command.succeeds("image", "inspect", source):
            self._follow(command.argv("pull", source))
        command.run("tag", source, self._image)

    def _follow(self, argv: list[str]) -> None:
        """Run it, every line into the log; end it when the build is stopped or its time is over."""
        with _process(argv) as process:
            assert process.stdout is not None
            reader = threading.Thread(target=self._copy, args=(process.stdout,), daemon=True)
            reader.start()
            while (code := _exit_code(process)) is None:
                if self._build.stop_requested.is_set():
                    raise _Ended("STOPPED")
                if time.monotonic() > self._deadline:
                    raise _Ended("TIMED_OUT")
            reader.join(5.0)
        if code:
            words = " ".join(argv[:1] + [word for word in argv[1:] if word in ("build", "pull")])
            raise _Failed(f"Error while executing command: {words}. Reason: exit status {code}")

    def _copy(self, output: IO[bytes]) -> None:
        for line in output:
            text = line.decode("utf-8", "replace").rstrip("\r\n")
            self._said_last.append(text)
            self._log.put(text or " ")  # CloudWatch takes no empty event


def _unpack(packed: tarfile.TarFile, directory: Path) -> None:
    """With its modes, which the standard filters would tone down."""
    if hasattr(tarfile, "tar_filter"):
        packed.extractall(directory, filter=_inside)
    else:  # Python before 3.10.12 and 3.11.4, such as Debian 12's
        packed.extractall(directory, (_inside(member, str(directory)) for member in packed))


def _inside(member: tarfile.TarInfo, directory: str) -> tarfile.TarInfo:
    """Refuse what would leave ``directory``, or be a file outside of it."""
    top = Path(directory).resolve()
    for name in (member.name, *([member.linkname] if member.islnk() else [])):
        if not Path(top, name).resolve().is_relative_to(top):
            raise _Failed(f"the context's {member.name} leads out of it, to {name}")
    return member


def _dockerfile_in(context: Path) -> Path:
    """By this name alone, as docker has it: podman would take a Containerfile in its place, and follow any link."""
    dockerfile = context / "Dockerfile"
    if not _is_in(context, dockerfile):
        raise _Failed("failed to read dockerfile: open Dockerfile: no such file in the context")
    return dockerfile


def _ignore_file_of(context: Path) -> Path:
    """As docker has it; podman would take a .containerignore, follow any link, and say in the log what is there.

    So it would where nothing is left out, too; hence a line that leaves out nothing.
    """
    names = ("Dockerfile.dockerignore", ".dockerignore")
    own = next((file for name in names if _is_in(context, file := context / name)), None)
    written = context.with_name("ignore")
    written.write_bytes(
        b"nothing-is-called-so/nor/so\n" + (own.read_bytes().removeprefix(b"\xef\xbb\xbf") if own else b"")
    )
    return written


def _is_in(context: Path, file: Path) -> bool:
    return file.is_file() and file.resolve().is_relative_to(context.resolve())


def _may_mount(command: ContainerCommand, dockerfile: Path) -> bool:
    """Whether a step has a mount, of its own or by ONBUILD of what it stands on; where that is not known, it may."""
    text = _CONTINUED.sub(b"", dockerfile.read_bytes())
    bases = {each.decode("utf-8", "replace") for each in _FROM.findall(text)}
    if b"--mount" in text or len(bases) > _MOST_BASES or any("$" in base for base in bases):
        return True
    # podman shows what an image does to its children in its history alone.
    histories = (command.said("image", "inspect", "--format", "{{json .History}}", base) for base in bases)
    return any("ONBUILD" in history and "--mount" in history for history in histories)


@contextmanager
def _process(argv: list[str]) -> Iterator[subprocess.Popen[bytes]]:
    """The command, which ends when its standard input closes: here, or with this whole process."""
    process = subprocess.Popen(
        [sys.executable, "-I", "-S", "-B", str(_SUPERVISOR), *argv],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        env=environment_of_builds(),
        start_new_session=True,
    )
    try:
        yield process
    finally:
        assert process.stdin is not None
        process.stdin.close()
        process.wait()


def _exit_code(process: subprocess.Popen[bytes]) -> int | None:
    try:
        return process.wait(_POLL_SEC)
    except subprocess.TimeoutExpired:
        return None


def _digest(command: ContainerCommand, image: str) -> str:
    try:
        found = command.run("image", "inspect", "--format", "{{.Id}}", image)
    except CommandFailed as error:
        raise _Failed(f"the image was built, yet {command.program} does not know it: {error}") from error
    return "sha256:" + found.removeprefix("sha256:")


def _register(image: str, config_digest: str) -> None:
    """Let DescribeImages know the image; it lives in podman's or docker's own store, from where RunTask starts it."""
    name, _, tag = image.partition("/")[2].rpartition(":")
    ecr = backend("ecr")
    if name not in ecr.repositories:
        raise _Failed(f"name unknown: The repository with name '{name}' does not exist in the registry")
    manifest: dict[str, Any] = {
        "schemaVersion": 2,
        "mediaType": _MANIFEST_TYPE,
        "config": {"mediaType": "application/vnd.docker.container.image.v1+json", "digest": config_digest, "size": 0},
        "layers": [],
        "annotations": {"tag": tag},  # one manifest a tag, or a second tag of the same image would take the first away
    }
    text = json.dumps(manifest)
    if any(tag in known.image_tags and known.image_manifest == text for known in ecr.repositories[name].images):
        return
    ecr.put_image(name, text, tag, _MANIFEST_TYPE, "sha256:" + hashlib.sha256(text.encode()).hexdigest())
