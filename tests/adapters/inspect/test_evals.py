"""Whole evaluations, with Inspect's mock model and Inspect's own command line."""

from __future__ import annotations

import asyncio
import gc
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import anyio
import inspect_ai
import pytest
from inspect_ai.dataset import Sample
from inspect_ai.solver import solver
from inspect_ai.util import ExecCompleted, ExecStdout, sandbox

from pytest_fargate_sandbox.adapters.harness_run import harness_run
from pytest_fargate_sandbox.adapters.inspect import FargateSandboxConfig, FargateSandboxEnvironment
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.records.kept_tasks import kept_tasks
from pytest_fargate_sandbox.records.ledger import all_ledgers
from tests.adapters.inspect import evaluated
from tests.real_podman import busybox_image

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tests.engine_of_tests import EngineOfTests

pytestmark = [  # Inspect's own, and those of what it leans on
    pytest.mark.filterwarnings("ignore::DeprecationWarning"),
    pytest.mark.filterwarnings("ignore::ResourceWarning"),
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
]

_HERE = Path(__file__).parent
_BIN = Path(sys.executable).parent
_PATIENCE = 90.0


@pytest.fixture(autouse=True)
def nothing_left(engine: EngineOfTests, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    """Neither in the engine's list of tasks nor in a ledger."""
    monkeypatch.setenv("FARGATE_CPU", "256")
    monkeypatch.setenv("FARGATE_MEMORY", "512")
    monkeypatch.setenv("INSPECT_LOG_DIR", str(tmp_path / "logs"))
    before = set(engine.alive())
    yield
    gc.collect()  # the streams that Inspect leaves open: else they complain in a later test, where that is an error
    engine.wait_until_gone(*set(engine.alive()) - before)
    entries = [entry for ledger in all_ledgers() for entry in ledger.entries()]
    assert [entry.id for entry in entries if entry.task_arn and not entry.is_over] == []


def evaluated_by(solve: Any, samples: int = 1, config: Any = None) -> Any:
    @solver
    def solving() -> Any:
        async def act(state: Any, generate: Any) -> Any:  # noqa: ARG001
            await solve()
            return state

        return act

    task = inspect_ai.Task(
        dataset=[Sample(input=str(each)) for each in range(samples)], solver=solving(), name="of_tests"
    )
    given = ("fargate", config) if config else "fargate"
    [log] = inspect_ai.eval(task, model="mockllm/model", sandbox=given, display="none", fail_on_error=False)
    return log


def test_twenty_samples_at_once_have_a_sandbox_each() -> None:
    [log] = inspect_ai.eval(
        evaluated.greeting(20), model="mockllm/model", sandbox="fargate", display="none", max_samples=20
    )
    assert log.status == "success"
    assert log.results.scores[0].metrics["accuracy"].value == 1.0
    entries = [entry for entry in harness_run().ledger.entries() if entry.task_arn]
    assert len(entries) >= 20
    assert all(entry.is_over for entry in entries)


def test_a_sample_has_several_sandboxes_by_name_and_a_person_gets_into_each_while_it_runs(tmp_path: Path) -> None:
    config = tmp_path / "fargate.yaml"
    config.write_text("sandboxes: {other: {user: '1000', working_dir: /work}, default: {env: {WHO: me}}}")
    heard = []

    async def solve() -> None:
        assert (await sandbox().exec(["sh", "-c", "echo $WHO; id -u"])).stdout == "me\n0\n"
        assert (await sandbox("other").exec(["sh", "-c", "echo $WHO; id -u; pwd"])).stdout == "\n1000\n/work\n"
        for name in ("default", "other"):
            await sandbox(name).write_file("mine", name)
            command = (await sandbox(name).connection()).command
            shell = await asyncio.create_subprocess_shell(
                command, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, cwd=tmp_path
            )
            directory = "/work" if name == "other" else "."
            said, _ = await shell.communicate(f"id -u; cat {directory}/mine\n".encode())
            heard.append(said.decode())

    log = evaluated_by(solve, config=str(config))
    assert log.status == "success", log.error or log.samples
    for said, user, content in zip(heard, ("0", "1000"), ("default", "other"), strict=True):
        assert f"{user}\n" in said
        assert content in said


def test_inspect_s_own_tools_run_in_a_sandbox() -> None:
    events = []

    async def solve() -> None:
        events.extend([event async for event in await sandbox().exec_remote(["echo", "by tools"])])
        ours = sandbox().as_type(FargateSandboxEnvironment)
        events.extend([event async for event in await ours.exec_remote(["echo", "by us"])])

    assert evaluated_by(solve).status == "success"
    done = ExecCompleted(exit_code=0)
    assert events == [ExecStdout(data="by tools\n"), done, ExecStdout(data="by us\n"), done]


def test_a_sample_whose_sandboxes_do_not_all_start_has_none(engine: EngineOfTests) -> None:
    log = evaluated_by(lambda: None, config=FargateSandboxConfig(sandboxes={"a": {}, "b": {"image": "no-such:image"}}))
    [sample] = log.samples
    assert "no-such:image" in sample.error.message
    assert engine.alive() == []


@pytest.fixture
def evaluation(tmp_path: Path) -> Iterator[Callable[..., Any]]:
    """``inspect eval`` of samples that wait, in a process of its own, once they have begun."""
    processes = []

    def run(*arguments: str, samples: int = 2) -> subprocess.Popen[str]:
        begun = tmp_path / "begun"
        begun.mkdir()
        where = [_BIN / "inspect", "eval", f"{_HERE / 'evaluated.py'}@waiting"]
        how = ["--sandbox", "fargate", "--model", "mockllm/model", "--display", "plain", *arguments]
        environment = {**os.environ, "BEGUN": str(begun), "PYTHONPATH": str(Path.cwd())}
        output = {"stdout": subprocess.PIPE, "stderr": subprocess.STDOUT, "text": True}
        processes.append(subprocess.Popen([*where, *how], env=environment, **output))  # type: ignore[call-overload]
        wait_until(
            lambda: len(list(begun.iterdir())) >= samples or None, deadline=_PATIENCE, what="the samples to begin"
        )
        return processes[-1]

    yield run
    for each in processes:
        each.kill()
        each.communicate()


def end_of(process: subprocess.Popen[str]) -> str:
    said, _ = process.communicate(timeout=_PATIENCE)
    return said


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM], ids=["ctrl-c", "term"])
def test_whoever_ends_an_evaluation_ends_its_tasks(
    number: int, engine: EngineOfTests, evaluation: Callable[..., Any]
) -> None:
    process = evaluation()
    assert len(engine.alive()) == 2
    process.send_signal(number)
    said = end_of(process)
    assert engine.alive() == []
    assert number != signal.SIGINT or "interrupted" in said


def test_what_is_not_to_be_cleaned_up_is_kept_at_ctrl_c_too_and_ended_by_inspect(
    engine: EngineOfTests, evaluation: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    process = evaluation("--no-sandbox-cleanup")
    process.send_signal(signal.SIGINT)
    said = end_of(process)
    first, second = sorted(kept.id for kept in kept_tasks())
    assert f"fargate-sandbox shell {first}" in said
    assert f"fargate-sandbox shell {second}" in said
    assert len(engine.alive()) == 2
    anyio.run(FargateSandboxEnvironment.cli_cleanup, first)
    assert [kept.id for kept in kept_tasks()] == [second]
    cleaned = subprocess.run([_BIN / "inspect", "sandbox", "cleanup", "fargate"], capture_output=True, check=True)
    assert (capsys.readouterr().out, cleaned.stdout.decode()) == (f"{first} stopped\n", f"{second} stopped\n")


def test_what_a_killed_evaluation_has_left_is_cleaned_up(
    engine: EngineOfTests, evaluation: Callable[..., Any], capsys: pytest.CaptureFixture[str]
) -> None:
    process = evaluation()
    process.kill()
    end_of(process)
    left = {arn.rpartition("/")[2] for arn in engine.alive()}
    assert len(left) == 2
    anyio.run(FargateSandboxEnvironment.cli_cleanup, None)
    assert {line.split()[0] for line in capsys.readouterr().out.splitlines()} == left


@pytest.mark.needs("build steps")
def test_a_build_that_is_broken_off_leaves_no_build_and_no_task(
    evaluation: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(tmp_path / "builder"))
    monkeypatch.setenv("FARGATE_ENGINE_OPTIONS", "--runner auto")
    waits = f"sleep {8 * 10**7 + os.getpid()}"
    (tmp_path / "Dockerfile").write_text(f"FROM {busybox_image()}\nRUN {waits}\n")

    def builds() -> bool:
        return waits in subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout

    process = evaluation("-T", f"config={tmp_path / 'Dockerfile'}", samples=0)
    wait_until(lambda: builds() or None, deadline=_PATIENCE, what="the build to begin")
    process.send_signal(signal.SIGINT)
    end_of(process)
    wait_until(lambda: not builds() or None, deadline=20, what="the build to end")
    assert not list((tmp_path / "begun").iterdir())
