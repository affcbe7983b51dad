"""Slots in tests: leased clean across all workers, from machines that end with the run."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tests.plugin.one_process import fargate, run, run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog

pytestmark = pytest.mark.needs("another user", "pgrep")

SMALL = "--fargate-cpu=256", "--fargate-memory=512"


def report(pytester: pytest.Pytester) -> dict[str, Any]:
    data: dict[str, Any] = json.loads((pytester.path / "report.json").read_text())
    return data


def test_a_slot_is_a_sandbox_on_a_machine_that_tests_share(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    (pytester.path / "data.txt").write_text("from here")
    result = run(
        pytester,
        """
import urllib.request
import pytest
from pytest_fargate_sandbox.leaves.waiting import wait_until

slots = []

def test_one(fargate_slot):
    slots.append(fargate_slot)
    fargate_slot.exec("echo x >left; echo x >/tmp/left; setsid sleep 1234 &", check=True)

def test_other(fargate_slot):
    slots.append(fargate_slot)
    assert fargate_slot.exec("ls -A . $TMPDIR; ls /tmp/left; pgrep -u $(id -u) sleep").stdout.split() == [
        ".:", fargate_slot.exec("echo $TMPDIR").stdout.strip() + ":"]

@pytest.mark.fargate(slot=True, files={"data.txt": "data.txt"}, exec_timeout=0.5)
def test_marked(fargate_sandbox):
    slots.append(fargate_sandbox)
    assert fargate_sandbox.exec("cat data.txt").stdout == "from here"
    assert fargate_sandbox.exec("sleep 30").timed_out
    assert fargate_sandbox.open_terminal().run("echo in a terminal").stdout == "in a terminal\\n"

@pytest.fixture(scope="module")
def of_the_module(fargate_session_factory):
    return fargate_session_factory(slot=True)

def test_several(of_the_module, fargate_sandbox_factory):
    of_this_test = [fargate_sandbox_factory(slot=True) for _ in range(2)]
    slots.extend([of_the_module, *of_this_test])
    assert len({slot.home for slot in slots[-3:]}) == 3

def test_its_port(fargate_slot, of_the_module):
    slots.append(fargate_slot)
    fargate_slot.exec("mkdir web && echo hello >web/index.html", check=True)
    fargate_slot.spawn("python3 -m http.server 8123 -d web")
    web = fargate_slot.expose(8123)
    def asked():
        try:
            return urllib.request.urlopen(f"http://{web.host}:{web.port}/", timeout=10).read()
        except OSError:
            return None

    assert wait_until(asked, deadline=20, what="the server") == b"hello\\n"

def test_on_one_machine():
    assert len({slot.task_arn for slot in slots}) == 1

@pytest.mark.fargate(outside=[("http://127.0.0.1:1", "MODEL")])
def test_a_service_on_our_side(fargate_slot):
    assert fargate_slot.task_arn != slots[0].task_arn
    model = fargate_slot.resolve_outside_endpoint("http://127.0.0.1:1")
    assert fargate_slot.exec("echo $MODEL").stdout == f"{model}\\n"

@pytest.mark.fargate(slot=False, slot_=1)
def test_no_such_key(fargate_slot): pass

def test_story(fargate_slot):
    fargate_slot.exec("echo what it said; exit 3")
    assert False
""",
        "--fargate-slots=3",
        "--fargate-report-json=report.json",
        *SMALL,
    )
    result.assert_outcomes(passed=7, failed=1, errors=1)
    result.stdout.fnmatch_lines(
        ["*Sandbox slots-*-slot1*", "slot: 1, in /slots/1/home, of isolation user", "  what it said"]
    )
    result.stdout.fnmatch_lines(["2 launched, 9 slot leases; *"])
    told = report(pytester)
    assert [len(each["tests"]) for each in told["sandboxes"]] == [6, 1]
    assert {each["kept"] for each in told["slots"]} == {False}
    assert told["slots"][-1]["commands"][0]["command"] == "echo what it said; exit 3"
    assert shared_engine_log.cut_off() == []


def test_what_happens_to_machines_and_slots(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    result = run(
        pytester,
        """
import pytest

machines = []

def test_machine_that_dies(fargate_slot):
    machines.append(fargate_slot.task_arn)
    if len(machines) == 1:
        process = fargate_slot.spawn("sleep 60")
        fargate_slot.machine.aws.call("ecs", "StopTask", cluster="local", task=machines[0])
        process.wait()

def test_slot_that_cannot_be_cleaned(fargate_slot):
    machines.append(fargate_slot.task_arn)
    gate = fargate_slot.home.removesuffix("/home")
    fargate_slot.machine.exec(f"rm -rf {gate} && echo >{gate}", check=True)

def test_next_one(fargate_slot):
    assert (fargate_slot.task_arn, fargate_slot.number) == (machines[-1], 1)

@pytest.mark.fargate(cpu=512, memory=1024)
def test_idle_machine_makes_way_for_one_of_another_kind(fargate_sandbox):
    assert fargate_sandbox.exec("true").ok

def test_more_than_the_bound(fargate_slot, fargate_sandbox_factory):
    fargate_sandbox_factory(cpu=512, memory=1024)

@pytest.mark.fargate(keep="failed")
def test_kept(fargate_slot):
    fargate_slot.write_file("evidence", "here")
    assert False

def test_beside_the_kept_one(fargate_slot):
    assert fargate_slot.number == 1
""",
        "--fargate-slots=2",
        "--fargate-max-tasks=1",
        *SMALL,
    )
    result.assert_outcomes(passed=5, failed=2)
    result.stdout.fnmatch_lines(
        [
            "*this test needs 2 sandboxes at once, and the bound on tasks is 1*",
            "4 launched, 7 slot leases, 1 slot retired, 1 run again after infrastructure errors, 1 kept; *",
            "retired: of *, slot 0 is retired, it could not be cleaned: *File exists*",
            "kept: *::test_kept until *",
            "  enter: fargate-sandbox shell *",
            "         cd /slots/0/home  # *::test_kept",
        ]
    )
    assert shared_engine_log.most_alive() == 1
    assert fargate("stop", "--kept").returncode == 0


TESTS = """
import os, pathlib, signal, time
import pytest

@pytest.mark.parametrize("n", range({count}))
def test_it(fargate_slot, n):
    began = time.time()
    slot = fargate_slot
    assert slot.exec("ls -A; find /tmp /dev/shm -user $(id -u); pgrep -u $(id -u) sleep").stdout == ""
    slot.exec(f"echo {n} >mine; echo {n} >/tmp/of-{n}; setsid sleep 1234 &", check=True)
    if n == {count} // 2:
        pathlib.Path("killed").write_text(f"{slot.task_arn} {slot.number}")
        os.kill(os.getpid(), signal.SIGKILL)
    assert slot.exec("cat mine; pgrep -c -u $(id -u) sleep").stdout.split() == [str(n), "1"]
    with open("had", "a") as had:
        had.write(f"{slot.task_arn} {slot.number} {began} {time.time()}\\n")
"""


def test_of_three_workers_one_is_killed_and_nothing_is_lost_shared_or_dirty(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, pytestconfig: pytest.Config
) -> None:
    count = 300 if pytestconfig.getoption("soak") else 12
    pytester.makepyfile(TESTS.replace("{count}", str(count)))
    args = "-n3", "--fargate-slots=3", "-p", "no:cacheprovider", *SMALL
    result = run_pytest(pytester, *args)
    result.assert_outcomes(passed=count - 1, errors=1)
    had = [line.split() for line in (pytester.path / "had").read_text().splitlines()]
    assert len(had) == count - 1
    by_slot: dict[str, list[tuple[float, float]]] = {}
    for machine, number, began, ended in had:
        by_slot.setdefault(f"{machine} {number}", []).append((float(began), float(ended)))
    for times in by_slot.values():
        times.sort()
        assert all(ended <= began for (_, ended), (began, _) in pairwise(times))
    assert (pytester.path / "killed").read_text() in by_slot, "it is had again, and was found clean"
    assert shared_engine_log.calls("RunTask") == 1
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_what_no_slot_can_be_is_told_at_once(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.mark.fargate(mode="agent", container_port=80)
def test_agent(fargate_slot): pass

@pytest.mark.fargate(cpu=256, memory=512)
def test_memory(fargate_slot): pass

@pytest.mark.fargate(slot="yes")
def test_word(fargate_sandbox): pass
""",
        "--fargate-slots=40",
    )
    result.assert_outcomes(errors=3)
    told = result.stdout.str()
    assert 'slot=True): expected mode "exec": a slot is for commands, and an agent has a task of its own' in told
    assert "--fargate-slots=40: 40 slots are too many for 512 MiB of memory, which has room for 12" in told
    assert "fargate(slot='yes'): expected True or False" in told
    assert "launched" not in told, "nothing was"
