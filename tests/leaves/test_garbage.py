from __future__ import annotations

import gc

import pytest

from pytest_fargate_sandbox.leaves.garbage import collection_paused


def test_it_goes_on_behind_the_block_also_behind_an_error() -> None:
    seen = []

    def fail() -> None:
        with collection_paused():
            seen.append(gc.isenabled())
            raise ValueError("oops")

    with pytest.raises(ValueError, match="oops"):
        fail()
    assert seen == [False]
    assert gc.isenabled()


def test_who_has_switched_it_off_finds_it_off() -> None:
    gc.disable()
    try:
        with collection_paused():
            pass
        assert not gc.isenabled()
    finally:
        gc.enable()
