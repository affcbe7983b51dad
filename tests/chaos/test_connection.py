"""Whatever happens to the connection, what was asked for is done once, and told as it was."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.providers.ssm import load_meter
from tests.chaos import faults
from tests.chaos.workloads import BriefCommands, Commands, Dialogues, Files, LongInput, StreamedInput, Trees

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.chaos.faults import Fault
    from tests.chaos.systems import System
    from tests.chaos.tally import Tally

_FEW = 0.001
_ABOUT_A_FILE, _ABOUT_A_TREE = 3_000_000, 1_000_000
"""Where in it a transfer is cut."""


def mostly(fault: Fault, system: System) -> list[Fault]:
    """With the two that are worst: at the very end, and the silence that takes longest to be noticed."""
    return [*[fault] * 3, *[faults.cut_in_a_lull(system.proxy)] * 3, faults.black_hole(system.proxy)]


@pytest.mark.trials("system", "fargate", "openssh", "relays", "ecs-exec", "ssm", indirect=True)
def test_commands_are_cut(system: System, seed: int, trial: Callable[..., Tally]) -> None:
    cuts = [faults.cut(system.proxy)]
    trial("commands, 16 threads", Commands(system, seed), cuts, acts=10_000, errors=_FEW)


@pytest.mark.trials("system", "relays", "openssh", "fargate", indirect=True)
def test_commands_meet_all_faults(system: System, seed: int, trial: Callable[..., Tally]) -> None:
    everything = faults.all_on_the_wire(system.proxy)
    trial("commands, 16 threads, all faults", Commands(system, seed), everything, acts=3000, few=6, errors=_FEW)


@pytest.mark.parametrize("system", ["ecs-exec", "ssm"], indirect=True)
def test_commands_in_a_session_meet_all_faults(system: System, seed: int, trial: Callable[..., Tally]) -> None:
    everything = faults.all_on_the_wire(system.proxy)
    trial("brief commands, 16 threads, all faults", BriefCommands(system, seed), everything, acts=3000, errors=_FEW)


@pytest.mark.trials("system", "ecs-exec", "ssm", indirect=True)
def test_several_sessions_are_cut_and_ended(
    system: System, seed: int, trial: Callable[..., Tally], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(load_meter, "_WORTH_BYTES", 300_000)
    monkeypatch.setattr(load_meter, "_QUIET_SEC", 4.0)  # else they are still there when what is left is counted
    aws = system.sandbox.aws
    with ThreadPoolExecutor(8) as pool:  # as many connections as are ever kept
        list(pool.map(lambda _: aws.call("ssm", "GetConnectionStatus", Target="nobody"), range(32)))
    tunnel: Any = system.sandbox.running().connection.tunnel
    way = getattr(tunnel, "_way", tunnel)

    def sessions() -> list[str]:
        carriers = way._connection._carriers if way._connection else []
        return [carrier.id for carrier in carriers if carrier.number == 0 or carrier.carries]

    def end(session: str) -> None:
        aws.call("ssm", "TerminateSession", SessionId=session)

    breaks = [*[faults.cut(system.proxy)] * 9, faults.end_of_a_further_session(sessions, end)]
    trial("150 KB each to commands, up to 4 sessions", LongInput(system, seed), breaks, every=0.5, acts=500)


@pytest.mark.trials("system", "openssh", "relays", "fargate", indirect=True)
def test_files_are_cut(system: System, seed: int, trial: Callable[..., Tally], tmp_path: Path) -> None:
    breaks = mostly(faults.cut_at_a_byte(system.proxy, _ABOUT_A_FILE), system)
    trial("files there and back", Files(system, seed, tmp_path), breaks, acts=250)


@pytest.mark.trials("system", "fargate", "relays", "openssh", indirect=True)
def test_trees_are_cut(system: System, seed: int, trial: Callable[..., Tally], tmp_path: Path) -> None:
    breaks = mostly(faults.cut_at_a_byte(system.proxy, _ABOUT_A_TREE), system)
    trial("trees there and back", Trees(system, seed, tmp_path), breaks, acts=250)


@pytest.mark.trials("system", "fargate", "openssh", "relays", "ecs-exec", "ssm", indirect=True)
def test_input_that_is_streamed_is_cut(system: System, seed: int, trial: Callable[..., Tally]) -> None:
    breaks = mostly(faults.cut(system.proxy), system)
    trial("streamed input, 4 threads", StreamedInput(system, seed), breaks, acts=1000)


@pytest.mark.trials("system", "openssh", "relays", "fargate", "ecs-exec", "ssm", indirect=True)
def test_dialogues_are_cut(system: System, seed: int, trial: Callable[..., Tally]) -> None:
    breaks = mostly(faults.cut(system.proxy), system)
    trial("dialogues with processes, 4 threads", Dialogues(system, seed), breaks, acts=2000)
