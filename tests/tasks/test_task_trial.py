"""Trials of tasks, honest and hostile, each with the verdict that it has to have."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox import NoVerdict, SandboxBroken, TaskFolderError
from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.adversaries import ADVERSARIES
from pytest_fargate_sandbox.tasks.crossing_store import DirectoryStore
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial
from tests.task_folders import TEST, TOML, make_task
from tests.tasks.said_by_agents import Says

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from pytest_fargate_sandbox.tasks.workplace import Workplace

    MakeTrial = Callable[..., Trial]

SHARED = TOML + '[verifier]\nenvironment_mode = "shared"\n'


HELLO = "echo hello > hello.txt"


def verdict(trial: Trial) -> float | str:
    try:
        return trial.run().value
    except (NoVerdict, SandboxBroken) as error:
        return type(error).__name__


def test_a_sandbox_lives_as_long_as_what_may_go_on_while_it_is_there(tmp_path: Path) -> None:
    class Asked(Exception):
        pass

    def asked(**keys: object) -> None:
        raise Asked(keys["ttl"])

    four_hours = "timeout_sec = 14400\n"
    folder = read_task(make_task(tmp_path / "t", toml=f"{SHARED}{four_hours}[agent]\n{four_hours}") / "task.toml")
    with pytest.raises(Asked, match=str(9 * 3600)):
        Trial(folder, Nop(), asked).run()


@pytest.mark.parametrize("toml", [TOML, SHARED], ids=["unsaid", "shared"])
def test_the_solution_gets_the_reward(tmp_path: Path, trial: MakeTrial, toml: str) -> None:
    folder = make_task(tmp_path / "t", toml=toml)
    solved = trial(folder, Oracle())
    assert verdict(solved) == 1
    assert solved.log.shared == (toml is SHARED)
    assert solved.log.artifacts == {TOML: ["/app", "/logs/artifacts"], SHARED: []}[toml]


ADVERSARY_TABLE = {"forges": (0, 0), "replaces": (0, 1), "lingers": (0, 1)}
"""What each gets of a verifier of its own, and of one in the agent's sandbox; who exits is as who does nothing."""

COMES_AGAIN = """\
[ ! -e /tmp/.linger ] || for each in $(seq 1000); do [ ! -e /logs/verifier/reward.json ] || break; sleep 0.01; done
"""


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(each, marks=pytest.mark.root if each == "replaces" else ())
        for each in sorted({*ADVERSARIES} - {"exits"})
    ],
)
def test_no_adversary_gets_anything_of_a_verifier_of_its_own(tmp_path: Path, trial: MakeTrial, name: str) -> None:
    test = f"#!/bin/bash\ngrep -qx hello hello.txt && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n{COMES_AGAIN}"
    apart, beside = (make_task(tmp_path / toml[-8:-2].strip(), toml=toml, test=test) for toml in (TOML, SHARED))
    got = tuple(verdict(trial(folder, ADVERSARIES[name])) for folder in (apart, beside))
    assert got == ADVERSARY_TABLE[name]


CREDULOUS = {
    "loads from a home": ('[environment.env]\nHOME = "/app"\n', "python3 /tests/look.py"),
    "loads from the workspace": ("", "python3 -m pytest /tests/look.py"),
}


@pytest.mark.trials("why", *CREDULOUS)
def test_a_verifier_whose_python_loads_what_crossed_over_is_found_out(
    tmp_path: Path, trial: MakeTrial, why: str
) -> None:
    more, test = CREDULOUS[why]
    script = '#!/bin/bash\necho \'assert open("hello.txt").read() == "hello"\' > /tests/look.py\n'
    script += f"{test} && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n"
    assert verdict(trial(make_task(tmp_path / "t", toml=TOML + more, test=script), ADVERSARIES["replaces"])) == 1


def test_who_lingers_never_leaves_half_a_reward(tmp_path: Path, trial: MakeTrial) -> None:
    """Each is another file: in one that is written anew, a moment of it has nothing, and that would be no reward."""
    test = f"#!/bin/bash\n{COMES_AGAIN}cd /logs/verifier\n"
    test += "until ln reward.json one 2>/dev/null; do sleep 0.01; done\n"
    test += "for each in $(seq 500); do [ reward.json -ef one ] || exit 0; sleep 0.01; done\necho the same file\n"
    tried = trial(make_task(tmp_path / "t", toml=SHARED, test=test), ADVERSARIES["lingers"])
    assert (verdict(tried), tried.log.output) == (1, "")


@pytest.mark.parametrize(
    ("script", "expected", "why"),
    [
        ("echo hello > /tmp/x; ln -s /tmp/x hello.txt", 0, "a link to what did not cross over"),
        (f"{HELLO}; mkdir -p /logs/artifacts; mkfifo /app/pipe /logs/artifacts/pipe", 1, "pipes are left out"),
        (f"{HELLO}; rm -rf /bin/sh /usr/bin/sh /usr/bin/bash; kill -9 -1", 1, "no shell any more, and all killed"),
        ("rm -rf /app; ln -s /etc/skel /app", 0, "a workspace that leads elsewhere"),
        ("rm -rf /app", "SandboxBroken", "no workspace at all"),
        ("rm -rf /app; echo 1 > /app", "SandboxBroken", "a file where the workspace was"),
        ("kill -TERM 1; sleep 1", "SandboxBroken", "the first process"),
        ("rm -rf /run/fargate-sandbox/*", 0, "what the server has lying about"),
    ],
)
def test_what_an_agent_does_to_his_sandbox_is_his_own_affair(
    tmp_path: Path, trial: MakeTrial, script: str, expected: float | str, why: str
) -> None:
    assert verdict(trial(make_task(tmp_path / "t"), Says(script))) == expected, why


STEPS = """\
[environment]
docker_image = "host"
workdir = "/app"
[[steps]]
name = "one"
min_reward = 1.0
[[steps]]
name = "two"
"""
EATS = """\
echo 0 > /proc/$$/oom_score_adj
exec python3 -c "
import contextlib, glob, os
held = os.memfd_create('held')
while True:
    for each in set(glob.glob('/proc/[0-9]*')) - {f'/proc/{os.getpid()}'}:
        with contextlib.suppress(OSError), open(each + '/oom_score_adj', 'w') as score:  # it may be gone
            score.write('1000')
    os.write(held, bytes(2 * 10**7))
"
"""
"""The memory is no process's own, so that the kernel goes by the scores alone; the server takes its own score back."""
FILLS = "head -c 100000000 /dev/zero > /dev/shm/app/x; echo hello > /tmp/hello.txt"
SMALL_DISK = STEPS.replace("/app", "/dev/shm/app") + '[verifier]\nenvironment_mode = "separate"\n'


@pytest.mark.needs("memory limits")  # else it is the machine's
def test_an_agent_who_takes_all_memory_until_the_server_dies_has_broken_his_sandbox(
    tmp_path: Path, trial: MakeTrial
) -> None:
    folder = make_task(tmp_path / "t", toml=TOML + "cpus = 0.25\nmemory_mb = 512\n")
    with pytest.raises(SandboxBroken, match=r"the agent broke its sandbox: the task ended .* while it was at work"):
        trial(folder, Says(EATS)).run()


@pytest.mark.needs("memory limits")
def test_that_an_agents_child_was_killed_for_memory_stands_in_the_notes(tmp_path: Path, trial: MakeTrial) -> None:
    """Whatever he made of it."""
    folder = make_task(tmp_path / "t", toml=TOML + "cpus = 0.25\nmemory_mb = 512\n")
    tried = trial(folder, Says(f"python3 -c 'b\"x\" * (900 << 20)'; {HELLO}"))
    assert tried.run().value == 1
    [told] = [note for note in tried.log.notes if "memory" in note]
    assert told.endswith("memory ran out (of 448 MiB), and the kernel killed a process of the container")


def test_an_agent_who_fills_the_disk_has_broken_his_sandbox(tmp_path: Path, trial: MakeTrial) -> None:
    """It is told by the first who wants to write there: what the next step brings along."""
    files = {
        f"steps/{name}/tests/test.sh": "#!/bin/bash\necho 1 > /logs/verifier/reward.txt\n" for name in ("one", "two")
    }
    folder = make_task(tmp_path / "t", toml=SMALL_DISK, files={**files, "steps/two/workdir/given": b"x" * 1000000})
    with pytest.raises(SandboxBroken, match="the disk is full, before step 'two'"):
        trial(folder, Says(FILLS)).run()


THROUGH = """\
mkdir -p /tmp/mine /logs/artifacts
printf '#!/bin/sh\\necho fooled; exit 0\\n' > /tmp/mine/grep
chmod 755 /tmp/mine/grep
cp -r /tmp/mine /usr/local/games/ && cp /tmp/mine/grep /usr/local/games/grep
ln -s /usr/local/games /logs/artifacts/model
ln -s /usr/local/games /app/out
"""


@pytest.mark.parametrize(
    ("artifacts", "mode"),
    [('"/logs/artifacts/model"', "separate"), ('"out"', ""), ('"out/grep"', "")],
)
def test_nothing_crosses_over_through_a_link_that_crossed_over(
    tmp_path: Path, trial: MakeTrial, artifacts: str, mode: str
) -> None:
    """An artifact that lies in another one would be laid where the agent's link leads: over the verifier's programs."""
    toml = f"artifacts = [{artifacts}]\n{TOML}" + (f'[verifier]\nenvironment_mode = "{mode}"\n' if mode else "")
    folder = make_task(tmp_path / "t", toml=toml, test=TEST.replace("grep", "PATH=/usr/local/games:$PATH grep"))
    assert verdict(trial(folder, Says(THROUGH))) == 0


AS_NOBODY = """#!/bin/bash
python3 -c "import os; os.setgid(65534); os.setuid(65534); os.execv('/bin/bash', ['bash', '/app/run'])"
echo 0 > /logs/verifier/reward.txt
"""
FORGES = "for each in . ./sh; do $each/bash -p -c 'echo 1 > /logs/verifier/reward.json'; done"


@pytest.mark.root
def test_who_is_run_as_another_user_than_the_tests_leaves_no_reward(tmp_path: Path, trial: MakeTrial) -> None:
    """Nor does a program of his that would be root's: he was root where he made it."""
    folder = make_task(tmp_path / "t", test=AS_NOBODY)
    script = "mkdir sh; cp /bin/bash sh/bash; cp /bin/bash .; chmod 4755 sh/bash; chmod 777 . sh\n"
    tried = trial(folder, Says(f"{script}cat > run << 'END'\ncd /app\n{FORGES}\nEND\n"))
    assert verdict(tried) == 0
    assert "reward.json: Permission denied" in tried.log.output


FORGES_LATER = """\
exec < /dev/null > /dev/null 2>&1
setsid sh -c 'for each in $(seq 1000); do echo 1 > /logs/verifier/reward.json; sleep 0.01; done' &
ln -s /dev/full /logs/verifier/reward.txt
"""


@pytest.mark.root
def test_beside_the_verifier_who_is_not_root_leaves_no_reward(tmp_path: Path, trial: MakeTrial) -> None:
    toml = SHARED.replace("[verifier]", '[agent]\nuser = "nobody"\n[verifier]')
    test = "#!/bin/bash\nsleep 0.1\nstat -c %a /logs/verifier\necho 0 > /logs/verifier/reward.txt\n"
    tried = trial(make_task(tmp_path / "t", toml=toml, test=test), Says(FORGES_LATER))
    assert (verdict(tried), tried.log.output) == (0, "755\n")


VERIFIERS = {
    "hangs": ("sleep 60\n", "the verifier ran out of time after 1 s"),
    "floods": ("head -c 50000000 /dev/zero | tr '\\0' x; echo the end\n", "the verifier left no reward"),
    "has a device": ("ln -s /dev/zero /logs/verifier/reward.txt; exit 3\n", "reward.txt"),
    "kills its sandbox's first": ("kill -TERM 1; sleep 5\n", "the verifier"),
}


@pytest.mark.parametrize("name", VERIFIERS)
def test_a_verifier_without_a_verdict_gives_none(tmp_path: Path, trial: MakeTrial, name: str) -> None:
    """Of an agent who left nothing: as if that had been kept, so that no sandbox of his is needed."""
    script, sentence = VERIFIERS[name]
    toml = TOML + "[verifier]\ntimeout_sec = 1\n" if name == "hangs" else TOML
    folder = make_task(tmp_path / "t", toml=toml, test=f"#!/bin/bash\necho looking\n{script}")
    tried = trial(folder, None, store=DirectoryStore(tmp_path / "kept"))
    with pytest.raises(NoVerdict) as met:
        tried.regrade({"": []})
    assert sentence in str(met.value)
    assert len(met.value.log) < 10_000
    assert met.value.log.rstrip().endswith("x" if name == "floods" else "looking")


@pytest.mark.parametrize("agent", ["true", "kill -TERM 1", "rm -f /bin/bash /usr/bin/bash", "chmod 0 /dev/null"])
def test_beside_the_agent_no_verdict_is_the_agents_failure(tmp_path: Path, trial: MakeTrial, agent: str) -> None:
    folder = make_task(tmp_path / "t", toml=SHARED, test="#!/bin/bash\necho looking\n")
    with pytest.raises(SandboxBroken):
        trial(folder, Says(agent)).run()


@pytest.mark.root
def test_all_that_a_task_says_is_honoured(tmp_path: Path, trial: MakeTrial, monkeypatch: pytest.MonkeyPatch) -> None:
    toml = """\
artifacts = ["dump.txt", { source = "/srv/data", exclude = ["*.tmp"] }]
[environment]
docker_image = "host"
workdir = "/app"
cpus = 0.25
env = { FROM_HERE = "${TRIAL_VALUE}", PLAIN = "plain" }
[environment.healthcheck]
command = "test -e /tmp/asked || { touch /tmp/asked; false; }"
interval_sec = 0.05
[agent]
user = "nobody"
[solution.env]
ANSWER = "${TRIAL_ANSWER:-42}"
[verifier]
environment_mode = "separate"
env = { GRADER = "${TRIAL_VALUE}" }
[[verifier.collect]]
command = "cat /tmp/agent.txt > dump.txt; echo $PLAIN >> dump.txt"
"""
    solve = "#!/bin/bash\necho $ANSWER $FROM_HERE $(id -un) $DEBIAN_FRONTEND $(cat given.txt) > /tmp/agent.txt\n"
    solve += "echo 1 > /srv/data/keep; mkdir /srv/data/x.tmp; echo 2 > /srv/data/leave.tmp; echo secret > beside.txt\n"
    test = "#!/bin/bash\ncat dump.txt; ls /srv/data /app /tests; echo $GRADER\n"
    test += 'echo \'{"reward": 0.5, "files": 3}\' > /logs/verifier/reward.json\n'
    monkeypatch.setenv("TRIAL_VALUE", "value")
    folder = make_task(
        tmp_path / "t",
        toml=toml,
        solve=solve,
        test=test,
        files={"environment/given.txt": "given", "tests/data/x": "1", "environment/setup/y": "1"},
    )

    @dataclass(frozen=True)
    class Prepared(Oracle):
        def act(self, there: Workplace) -> None:
            there.sandbox.exec("mkdir -p /srv/data && chmod 777 /srv/data", check=True)
            super().act(there)

    tried = trial(folder, Prepared())
    found = tried.run()
    assert (found.value, found.parts) == (0.5, {"reward": 0.5, "files": 3})
    assert tried.log.output.splitlines() == [
        "42 value nobody noninteractive given",
        "plain",
        *("/app:", "dump.txt", ""),
        *("/srv/data:", "keep", ""),
        *("/tests:", "data", "test.sh"),
        "value",
    ]
    assert (
        tried.log.notes[-1]
        == "/solution/solve.sh returned 1: /solution/solve.sh: line 3: beside.txt: Permission denied"
    )
    assert tried.log.artifacts == ["/logs/artifacts", "/app/dump.txt", "/srv/data"]
    assert set(tried.log.hashes) == {"solution", "artifacts", "tests", "environment"}
    assert set(tried.log.phases) == {
        *("start agent", "prepare", "agent", "collect", "cross"),
        *("start verifier", "verify"),
    }


def test_each_step_has_its_verdict_and_the_agent_one_sandbox(tmp_path: Path, trial: MakeTrial) -> None:
    grade = "#!/bin/bash\n[ -e {0} ] && r=1 || r=0\necho $r > /logs/verifier/reward.txt\nls /tests\n"
    files = {
        "steps/one/instruction.md": "Make one.",
        "steps/one/workdir/setup.sh": "touch was-set-up",
        "steps/one/solution/solve.sh": "#!/bin/bash\nmv was-set-up one\n",
        "steps/one/tests/test.sh": grade.format("one"),
        "steps/two/instruction.md": "Make two of one.",
        "steps/two/solution/solve.sh": "#!/bin/bash\nmv one two\n",
        "steps/two/tests/test.sh": grade.format("two"),
    }
    folder = make_task(tmp_path / "t", toml=STEPS, solve=None, test=None, files=files)
    solved = trial(folder, Oracle())
    assert verdict(solved) == 1
    assert solved.log.rewards == {"one": 1, "two": 1}
    lazy = trial(folder, Nop())
    assert verdict(lazy) == 0
    assert lazy.log.rewards == {"one": 0}
    assert lazy.log.notes == ["it ended with step 'one', whose min_reward was not reached"]


@pytest.mark.parametrize(
    ("toml", "sentence"),
    [
        ('[environment]\ndocker_image = "host"\n', "it works in /, of which nothing can cross over"),
        (TOML + '[environment.healthcheck]\ncommand = "false"\nretries = 1\n', "its environment does not come up: "),
        (TOML + '[solution.env]\nKEY = "${NOWHERE_TO_BE_FOUND}"\n', "NOWHERE_TO_BE_FOUND is not set here"),
    ],
)
def test_a_task_that_cannot_be_tried_says_why(tmp_path: Path, trial: MakeTrial, toml: str, sentence: str) -> None:
    with pytest.raises(TaskFolderError) as met:
        trial(make_task(tmp_path / "t", toml=toml), Oracle()).run()
    assert sentence in str(met.value)


@pytest.mark.parametrize(
    ("said", "place"),
    [
        *((said, 'workdir = "/app"\n') for said in ("/tests", "/", "//tests", "/logs")),
        ("/tests", ""),  # and where the image says the workspace
    ],
)
def test_an_artifact_that_may_not_cross_is_told_before_anybody_works(
    tmp_path: Path, trial: MakeTrial, said: str, place: str
) -> None:
    toml = f'artifacts = ["{said}"]\n[environment]\ndocker_image = "host"\n{place}'
    tried = trial(make_task(tmp_path / "t", toml=toml), Oracle())
    with pytest.raises(TaskFolderError, match=f"the artifact {said} would bring the agent's files to where"):
        tried.run()
    assert tried.log.images == {}, "no sandbox was made"
