"""What a name's book has for whom, and that one run has the name at a time."""

from __future__ import annotations

import dataclasses
import os
import threading
import time
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import EcsFargateConfig
from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.records import reuse_book
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_task
from pytest_fargate_sandbox.records.reuse_book import SESSION, SLOTS, ReuseBook

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))


def left(name: str, *, ends_in: float = 1000.0) -> str:
    """The ARN of a task of which there are keys. It lives for 1000 seconds, on an engine that is no more."""
    arn = f"arn:aws:ecs:us-east-1:123456789012:task/local/{name}"
    KeptTask(
        task_arn=arn,
        task_id=name,
        run_id="first",
        host="127.0.0.1",
        image="host",
        expires=int(time.time() + ends_in),
        keyring={},
        cfg=dataclasses.asdict(EcsFargateConfig(max_task_lifetime_sec=1000)),
        place={"cluster": "local", "engine_directory": "/nowhere", "endpoint_url": "http://127.0.0.1:1"},
        ledger_entry="entry",
    ).save()
    return arn


def test_a_machine_is_taken_by_whom_it_fits_and_once_in_a_run() -> None:
    first, second = ReuseBook("inner", "first"), ReuseBook("inner", "second")
    arn = left("a")
    first.leave(arn, SLOTS, "this")
    assert first.take(SLOTS, "this") is None, "it has that already"
    assert second.take(SLOTS, "other") is None
    assert second.take(SESSION, "this") is None
    assert ReuseBook("outer", "second").take(SLOTS, "this") is None
    taken = second.take(SLOTS, "this")
    assert taken is not None
    assert taken.task_arn == arn
    assert second.take(SLOTS, "this") is None
    second.put_back(arn)
    assert second.take(SLOTS, "this") is not None
    second.drop(arn)
    assert ReuseBook("inner", "third").take(SLOTS, "this") is None


def test_what_is_near_its_end_or_was_stopped_by_somebody_is_not_taken() -> None:
    book = ReuseBook("inner", "first")
    for name, ends_in in (("old", 240), ("stopped", 1000)):
        book.leave(left(name, ends_in=ends_in), SLOTS, "this")
    stopped = kept_task(left("stopped"))
    assert stopped is not None
    stopped.forget()
    assert ReuseBook("inner", "second").take(SLOTS, "this") is None


def test_what_a_run_has_not_taken_is_ended_if_it_took_or_launched_others_for_that() -> None:
    first, second = ReuseBook("inner", "first"), ReuseBook("inner", "second")
    arns = {name: left(name) for name in ("taken", "spare", "for-the-session")}
    first.leave(arns["taken"], SLOTS, "this")
    first.leave(arns["spare"], SLOTS, "that")
    first.leave(arns["for-the-session"], SESSION, "this")
    first.end_what_fits_no_more()
    assert all(map(kept_task, arns.values())), "they are its own"
    assert second.take(SLOTS, "this") is not None
    second.end_what_fits_no_more()
    assert [name for name, arn in arns.items() if kept_task(arn)] == ["taken", "for-the-session"]
    assert ReuseBook("inner", "third").take(SLOTS, "that") is None


def test_a_name_is_one_runs_at_a_time_and_the_refusal_names_that_run() -> None:
    first, second = ReuseBook("inner", "first"), ReuseBook("inner", "second")
    first.hold()
    with pytest.raises(ConfigError, match=rf"'inner' is the name of run first \(process {os.getpid()}, since "):
        second.hold()
    first.let_go()
    second.hold()
    second.let_go()


def test_workers_of_a_run_that_was_killed_are_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    worker, second = ReuseBook("inner", "first"), ReuseBook("inner", "second")
    worker.use()
    ending = threading.Timer(0.1, worker.let_go)
    ending.start()
    second.hold()
    assert not ending.is_alive()
    second.let_go()
    worker.use()
    monkeypatch.setattr(reuse_book, "_LEAVING_SEC", 0.1)
    second.hold()
    second.let_go()
    worker.let_go()


@pytest.mark.parametrize("name", ["", ".", "..", "../x", "a/b", "-x", "a b", "é", "x" * 65, "x\n"])
def test_a_name_is_that_of_a_directory(name: str) -> None:
    with pytest.raises(ConfigError, match="is no name for machines"):
        ReuseBook(name, "first")
