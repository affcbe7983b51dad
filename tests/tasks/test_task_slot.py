"""Trials in slots: as alone as in a sandbox of their own, whoever was there before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, NoVerdict, SandboxBroken, SshSidecarConfig
from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_slot import NotInSlots, TaskSlot, fits_slots
from pytest_fargate_sandbox.tasks.task_trial import Trial
from tests.components import need
from tests.task_folders import TEST, TOML, make_task
from tests.tasks.said_by_agents import Says

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.tasks.workplace import Actor
    from tests.engine_of_tests import EngineOfTests

    MakeTrial = Callable[[Path, Actor], Trial]

SEPARATE = 'artifacts = ["hello.txt"]\n' + TOML + '[verifier]\nenvironment_mode = "separate"\n'


@pytest.fixture(scope="module")
def machines(_engine_of_tests: EngineOfTests) -> Iterator[dict[str, EcsFargateSandbox]]:
    """One for agents, one for verifiers, with the image's own say of PATH and libraries."""
    need("another user")
    env = {"PATH": "/app/bin:/usr/bin:/bin", "LD_LIBRARY_PATH": "/app/lib", "BASH_ENV": "/app/env"}
    sidecar = SshSidecarConfig(exec_server_port=19542)
    config = EcsFargateConfig(cluster="local", image_template="host", extra_env=env, ssh_sidecar=sidecar)
    machines = {role: EcsFargateSandbox(config, task_id=role, run_id="tasks") for role in ("agent", "verifier")}
    try:
        for machine in machines.values():
            machine.start()
            machine.open_slots(1, require_isolation="user")
            machine.exec("mkdir -p /app/given; echo given > /app/given/file; echo mine > /app/mine", check=True)
        yield machines
    finally:
        for machine in machines.values():
            machine.stop()


@pytest.fixture
def trial(machines: dict[str, EcsFargateSandbox]) -> Iterator[MakeTrial]:
    slots: list[Slot] = []

    def make(slot: str, **_: Any) -> Slot:
        slots.append(machines[slot].lease_slot(0))
        return slots[-1]

    yield lambda folder, actor: Trial(read_task(folder / "task.toml"), actor, make, in_slot=TaskSlot)
    for slot in slots:
        slot.give_back()


def verdict(trial: Trial) -> float | str:
    try:
        return trial.run().value
    except (NoVerdict, SandboxBroken) as error:
        return type(error).__name__


@pytest.mark.parametrize("toml", [TOML, SEPARATE], ids=["unsaid", "separate"])
def test_the_solution_gets_the_reward_and_who_does_nothing_does_not(
    tmp_path: Path, trial: MakeTrial, toml: str
) -> None:
    folder = make_task(tmp_path / "t", toml=toml)
    solved = trial(folder, Oracle())
    assert verdict(solved) == 1
    assert solved.log.in_slots
    assert verdict(trial(folder, Nop())) == 0


@pytest.mark.parametrize("name", ADVERSARIES)
def test_no_adversary_gets_anything(tmp_path: Path, trial: MakeTrial, name: str) -> None:
    test = TEST + "sleep 0.2\n"
    folder = make_task(tmp_path / "t", test=test)
    assert verdict(trial(folder, ADVERSARIES[name])) == 0
    assert verdict(trial(folder, Nop())) == 0, "nor is anything left for who comes next"


EVERYWHERE = """\
for place in / /app /app/given /tests /logs /logs/verifier /logs/artifacts /solution /tmp /var/tmp /dev/shm ~; do
    echo 1 > $place/reward.txt; cp /bin/true $place/left; ln -s /etc/shadow $place/link
done 2> /dev/null
echo hello > /app/hello.txt; rm -rf /app/given /app/mine
(setsid sh -c 'cd /logs/verifier; while :; do echo 1 > next; mv -f next reward.txt; sleep 0.01; done' &)
"""
IS_AS_IT_WAS = """\
#!/bin/bash
cd /
look() { find /app /tests /logs /solution /oracle /tmp /var/tmp /dev/shm ~ -mindepth 1 "$@" 2> /dev/null; }
look -name reward.txt -o -name left -o -name link
look -user "$(id -un)" -path '*hello*'
cat /app/given/file /app/mine
ls /tests
echo 0.5 > /logs/verifier/reward.txt
"""


def test_who_comes_next_finds_all_as_it_is_in_the_image(tmp_path: Path, trial: MakeTrial) -> None:
    """Also where an agent's work was looked at, by tests that did as he says."""
    obeys = make_task(tmp_path / "obeys", test="#!/bin/bash\nexec bash /app/do\n")
    script = f"cat > /app/do << 'END'\n{EVERYWHERE}echo 1 > /logs/verifier/reward.txt\nEND\n{EVERYWHERE}"
    assert verdict(trial(obeys, Says(script))) == 1, "such a task is lost"
    looks = make_task(tmp_path / "looks", test=IS_AS_IT_WAS)
    found = trial(looks, Nop())
    assert verdict(found) == 0.5
    assert found.log.output.splitlines() == ["given", "mine", "test.sh"]


@pytest.mark.parametrize(
    ("script", "expected"),
    [
        ("echo hello > hello.txt; kill -9 -1", 1),
        ("rm -rf /app/* ; rmdir /app; echo hello > hello.txt", 1),
        ("chmod 777 /app; mkdir -m 0 /app/closed; echo hello > hello.txt", 1),
        ("ln -s /etc/shadow hello.txt", 0),
        ("ln /bin/su hello.txt; cp /bin/su su; chmod 4755 su", 0),
    ],
)
def test_what_an_agent_does_is_his_own_affair(
    tmp_path: Path, trial: MakeTrial, script: str, expected: float | str
) -> None:
    assert verdict(trial(make_task(tmp_path / "t"), Says(script))) == expected


HIJACK = """\
mkdir -p bin lib
printf '#!/bin/sh\\ntouch /tmp/.by-$(id -u)\\n' > bin/rm
chmod 755 bin/rm
for name in sh chown ls mkdir cp cat find cksum env chmod; do cp bin/rm bin/$name; done
cp bin/rm env
echo nonsense > lib/libc.so.6
"""


def test_root_runs_no_program_of_an_agents_though_the_image_would(
    tmp_path: Path, trial: MakeTrial, machines: dict[str, EcsFargateSandbox]
) -> None:
    folder = make_task(tmp_path / "t", test="#!/bin/bash\nexit 0\n")
    verdict(trial(folder, Says(HIJACK)))
    verdict(trial(folder, Nop()))
    for machine in machines.values():
        found = machine.exec("ls -a /tmp", env={"PATH": "/usr/bin:/bin", "LD_LIBRARY_PATH": None, "BASH_ENV": None})
        assert ".by-0" not in found.stdout, found.stdout


def test_a_reward_is_no_link_that_root_would_follow(tmp_path: Path, trial: MakeTrial) -> None:
    test = "#!/bin/bash\nln -s /etc/shadow /logs/verifier/reward.txt\n"
    with pytest.raises(NoVerdict) as met:
        trial(make_task(tmp_path / "t", test=test), Nop()).run()
    assert "root:" not in str(met.value)
    assert "/logs/verifier/reward.txt is no file" in str(met.value)


@pytest.mark.parametrize("path", ["/root/app", "/tmp/app", "/etc/app", "/tmp", "/slots/0", "/app/../etc", "/"])
def test_no_workspace_is_where_root_or_others_are(
    tmp_path: Path, trial: MakeTrial, path: str, machines: dict[str, EcsFargateSandbox]
) -> None:
    before = machines["agent"].stat("/etc").uid
    with pytest.raises(NotInSlots, match="cannot be a task's own in a slot"):
        trial(make_task(tmp_path / "t", toml='artifacts = ["/srv/x"]\n' + TOML.replace("/app", path)), Nop()).run()
    assert machines["agent"].stat("/etc").uid == before


def test_what_is_left_open_in_an_image_is_found(machines: dict[str, EcsFargateSandbox]) -> None:
    machine = machines["agent"]

    def found_after(command: str) -> str:
        machine.exec(f"mkdir -p /app/x && cd /app/x && {command}", env={"PATH": "/bin:/usr/bin"}, check=True)
        return TaskSlot.left_open(slot, "/app/x")

    with machine.lease_slot(0) as slot:
        assert found_after("mkdir -m 1777 tmp && mkdir -m 777 a && touch b && chmod 666 b && chmod 700 .") == ""
        assert found_after("chmod 755 . && rm b") == "/app/x/a"
        assert found_after("rmdir a && touch b && chmod 606 b") == "/app/x/b"
        assert found_after("chmod 644 b && touch c && chown --reference=" + slot.home + " c") == "/app/x/c"
        assert found_after("cd .. && rm -r x && mkdir x") == ""


@pytest.mark.parametrize(
    ("toml", "fits"),
    [
        (TOML, True),
        (SEPARATE, True),
        (TOML + '[agent]\nuser = "nobody"\n', False),
        (TOML + '[verifier]\nuser = "nobody"\n', False),
        (TOML + '[verifier]\nenvironment_mode = "shared"\n', False),
        (TOML + '[[verifier.collect]]\ncommand = "true"\n', False),
        (TOML + '[environment.healthcheck]\ncommand = "true"\n', False),
        (TOML + '[[steps]]\nname = "one"\n', False),
    ],
)
def test_which_tasks_fit(tmp_path: Path, toml: str, fits: bool) -> None:
    assert fits_slots(read_task(make_task(tmp_path / "t", toml=toml) / "task.toml")) == fits


def test_a_task_with_an_image_of_its_own_does_not_fit(tmp_path: Path) -> None:
    folder = make_task(
        tmp_path / "t", toml='[environment]\nworkdir = "/app"\n', files={"environment/Dockerfile": "FROM host"}
    )
    assert not fits_slots(read_task(folder / "task.toml"))
