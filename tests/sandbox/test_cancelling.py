"""What a caller may give up from another thread, where there are no more threads for the moment."""

from __future__ import annotations

import threading

import pytest

from pytest_fargate_sandbox.sandbox.exec import cancelling


def test_who_comes_while_another_gets_no_thread_is_watched_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    cancel, ended, over, start = threading.Event(), threading.Event(), threading.Event(), threading.Thread.start

    def wait() -> None:
        with cancelling.ended_by(cancel, ended.set):
            over.wait(10)

    other = threading.Thread(target=wait)

    def fail(_thread: threading.Thread) -> None:
        monkeypatch.setattr(threading.Thread, "start", start)
        other.start()
        other.join(0.1)
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(cancelling, "_watch", cancelling._Watch())
    monkeypatch.setattr(threading.Thread, "start", fail)
    with pytest.raises(RuntimeError, match="new thread"), cancelling.ended_by(threading.Event(), over.set):
        pass
    cancel.set()
    assert ended.wait(30)
    over.set()
    other.join(10)
