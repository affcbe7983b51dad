"""What engine, launcher and holders say to each other, at the end."""

from __future__ import annotations

from pytest_fargate_sandbox.local.runners.namespaces.holder_messages import Channel


def test_a_word_before_the_end_is_heard_though_there_was_one_that_it_crossed() -> None:
    """As when a container is told to stop that has just ended by itself."""
    engine, holder = Channel.pair()
    engine.send({"stop": "main"})
    holder.send({"ended": "main", "code": 3})
    holder.close()
    assert engine.receive() == ({"ended": "main", "code": 3}, [])
    assert engine.receive() is None
    engine.close()
