"""Images of Harbor's tasks, really built and really run: by their content, once, and told apart where they fail."""

from __future__ import annotations

import asyncio
import json
from typing import TYPE_CHECKING, Any

import pytest
from harbor.environments.base import SandboxBuildFailedError

from pytest_fargate_sandbox.adapters.harbor_task import spec_of
from pytest_fargate_sandbox.leaves.waiting import wait_until
from tests.engine_of_tests import EngineOfTests
from tests.real_podman import busybox_image
from tests.task_folders import make_task

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

NOTHING = '[environment]\nnetwork_mode = "no-network"\n'
SEPARATE = '[verifier]\nenvironment_mode = "separate"\n[verifier.environment]\nnetwork_mode = "no-network"\n'
LOOK = "#!/bin/sh\n[ $(cat /logs/artifacts/who) = nobody ] && [ $PWD = /work ] && r=1 || r=0\n"
LOOK += "echo $r > /logs/verifier/reward.txt\n"


@pytest.fixture
def builder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[EngineOfTests]:
    """An engine that runs in podman what it has built, and on which nothing is left."""
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(tmp_path / "builder"))
    monkeypatch.setenv("FARGATE_ENGINE_LOG", str(tmp_path / "log.jsonl"))
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", "--runner auto")
    engine = EngineOfTests()
    assert not engine.alive()  # and so it runs
    yield engine
    wait_until(lambda: not engine.alive() or None, deadline=20, what="the end of all tasks")


def builds(engine: EngineOfTests) -> int:
    """Those that began: the first is refused, for want of the project."""
    calls = map(json.loads, engine.log.read_text().splitlines())
    return sum(1 for call in calls if call.get("operation") == "StartBuild" and call["status"] == 200)


def dockerfile(*lines: str) -> str:
    return "\n".join([f"FROM {busybox_image()}", "WORKDIR /work", *lines, ""])


def test_tasks_of_the_same_content_have_one_image_and_its_user_runs_what_no_other_is_said_for(
    harbor: Callable[..., Any], builder: EngineOfTests, tmp_path: Path
) -> None:
    solve = '#!/bin/sh\n[ "$(cat /tmp/begun)" = "$(id -un)" ] && id -un > /logs/artifacts/who\n'
    parts = {"solve": solve, "test": LOOK}
    entry = "COPY --chmod=755 entry /entry", "USER nobody", 'ENTRYPOINT ["/entry"]'
    image = {
        "environment/Dockerfile": dockerfile(*entry),
        "environment/entry": '#!/bin/sh\nid -un > /tmp/begun\nexec "$@"\n',
    }
    make_task(tmp_path / "tasks" / "one", toml=NOTHING, files=image, **parts)
    own = {"tests/Dockerfile": dockerfile("COPY test.sh /tests/test.sh")}
    make_task(tmp_path / "tasks" / "own-verifier", toml=SEPARATE + NOTHING, files={**image, **own}, **parts)
    make_task(
        tmp_path / "tasks" / "fails",
        toml=NOTHING,
        files={"environment/Dockerfile": dockerfile("RUN echo no such thing && exit 3")},
    )
    job = harbor(tmp_path / "tasks", "oracle", "--force-build", "-n", "3")
    assert job.rewards == {"fails": "SandboxBuildFailedError", "one": 1, "own-verifier": 1}
    assert "no such thing" in job.trials["fails"]["exception_info"]["exception_message"]
    assert builds(builder) == 3


@pytest.mark.needs("build steps")
def test_a_start_that_is_given_up_while_its_image_is_built_leaves_no_task(
    environment: Callable[..., Any], builder: EngineOfTests
) -> None:
    there = environment({"Dockerfile": dockerfile("RUN sleep 4")})

    async def act() -> None:
        starting = asyncio.create_task(there.start(force_build=True))
        await asyncio.to_thread(wait_until, lambda: builds(builder) or None, deadline=30, what="the build")
        starting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await starting
        await there.stop(delete=True)

    asyncio.run(act())
    assert not builder.count()["RunTask"]


def test_an_image_counts_more_than_a_dockerfile_but_for_a_forced_build(environment: Callable[..., Any]) -> None:
    there = environment({"Dockerfile": "FROM x\n"}, docker_image="host")
    found = [spec_of(there, there._settings, force_build=force)[0].config for force in (False, True)]
    assert [(each.image_template, bool(each.environment_dir)) for each in found] == [("host", False), (None, True)]


def test_a_failed_build_is_harbors_own_error(environment: Callable[..., Any], builder: EngineOfTests) -> None:
    there = environment({"Dockerfile": "this is none\n"})
    with pytest.raises(SandboxBuildFailedError, match="could not be built"):
        asyncio.run(there.start(force_build=False))
    assert not builder.count()["RunTask"]
