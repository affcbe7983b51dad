from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.chaos import systems
from tests.chaos.summary import PROPERTY
from tests.chaos.trial import Extent, try_out

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from contextlib import AbstractContextManager
    from pathlib import Path

    from pytest_fargate_sandbox import EcsFargateConfig
    from tests.chaos.faults import Fault
    from tests.chaos.systems import System
    from tests.chaos.tally import Tally
    from tests.chaos.workloads import Workload
    from tests.engine_of_tests import EngineOfTests

_FEW = 3
"""Faults of a short trial; it goes on until they have struck."""
_SHORT = 15.0
_ERRORS_IN_A_MOMENT = 0.05
"""More than there are ever, unless the machine is so busy that nothing gets done between two faults."""
_HEALS_WITHIN = 15.0
_SHORT_DEATH = 1.0
"""How soon a connection that is silent is given up in the short trials; the long ones have the default."""


@pytest.fixture
def seed(pytestconfig: pytest.Config) -> int:
    return int(pytestconfig.getoption("chaos_seed"))


@pytest.fixture
def dead_after(soak: bool) -> float:
    from pytest_fargate_sandbox.providers.ssh.ssh_watch import DEAD_AFTER_SECONDS

    return DEAD_AFTER_SECONDS if soak else _SHORT_DEATH


@pytest.fixture
def system(
    request: pytest.FixtureRequest,
    engine: EngineOfTests,
    local_config: Callable[..., EcsFargateConfig],
    dead_after: float,
    tmp_path: Path,
) -> Iterator[System]:
    """``indirect``: which of them."""
    ways: dict[str, Callable[[], AbstractContextManager[System]]] = {
        "fargate": lambda: systems.fargate(local_config(), dead_after),
        "ecs-exec": lambda: systems.in_a_session(engine, local_config(ssh_sidecar=None, ecs_exec=True), dead_after),
        "ssm": lambda: systems.in_a_session(engine, local_config(connect_via="ssm"), dead_after),
        "openssh": lambda: systems.openssh(tmp_path, dead_after),
        "relays": lambda: systems.openssh(tmp_path, dead_after, by_local_port=True),
    }
    with ways[request.param]() as system:
        yield system


@pytest.fixture
def judge(record_property: Callable[[str, object], None], seed: int) -> Callable[[Tally], None]:
    """What came of a trial is told at the end of the run, and has to be clean."""

    def judge(tally: Tally) -> None:
        record_property(PROPERTY, tally.to_dict())
        assert tally.is_clean, f"--chaos-seed={seed}: {tally}"

    return judge


@pytest.fixture
def trial(judge: Callable[[Tally], None], system: System, soak: bool, seed: int) -> Callable[..., Tally]:
    def trial(
        what: str,
        workload: Workload,
        faults: Sequence[Fault],
        *,
        every: float = 0.3,
        acts: int,
        few: int = _FEW,
        errors: float = 0.0,
    ) -> Tally:
        """So many ``acts`` with ``--soak``, else until a ``few`` faults; ``errors`` is the share that may say so."""
        extent = Extent(acts) if soak else Extent(acts, _SHORT, few)
        tally = try_out(what, system, workload, faults, every=every, extent=extent, seed=seed)
        judge(tally)
        assert tally.faults, "a trial without a fault proves nothing"
        allowed = tally.done * errors if soak else 1 + tally.done * _ERRORS_IN_A_MOMENT
        assert len(tally.honest) <= allowed, f"--chaos-seed={seed}: {tally}"
        assert max(tally.heals, default=0.0) < _HEALS_WITHIN, f"--chaos-seed={seed}: {tally}"
        return tally

    return trial
