"""``harbor run`` with our environment: each task has the reward that our own trial of the same folder gives."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.tasks.actors import Nop, Oracle
from pytest_fargate_sandbox.tasks.task_reading import read_task
from pytest_fargate_sandbox.tasks.task_trial import Trial
from tests.task_folders import make_task

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox import EcsFargateSandbox

EXAMPLES = Path(__file__).parents[3] / "examples" / "tasks"
ACTORS = {"oracle": Oracle(), "nop": Nop()}
WORKDIR = '[environment]\ndocker_image = "host"\nworkdir = "/app"\n'
HELLO = "#!/bin/bash\necho hello > hello.txt\n"
LOOK = "#!/bin/bash\nif grep -qx hello {0}; then echo 1; else echo 0; fi > /logs/verifier/reward.txt\n"

FOLDERS: dict[str, dict[str, Any]] = {
    "shared": {"toml": WORKDIR + '[verifier]\nenvironment_mode = "shared"\n'},
    "separate": {
        "toml": 'artifacts = ["/app/hello.txt"]\n' + WORKDIR + '[verifier]\nenvironment_mode = "separate"\n',
        "test": LOOK.format("/app/hello.txt"),
    },
    "as-nobody": {
        "toml": WORKDIR + '[agent]\nuser = "nobody"\n[verifier]\nuser = "root"\n',
        "solve": "#!/bin/bash\nid -un > /logs/artifacts/who\n",
        "test": "#!/bin/bash\ngrep -qx nobody /logs/artifacts/who && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n",
    },
    "with-env": {
        "toml": WORKDIR + 'env = { PLAIN = "plain" }\n[solution.env]\nANSWER = "42"\n[verifier.env]\nGRADER = "me"\n',
        "solve": "#!/bin/bash\necho $PLAIN $ANSWER $(cat given.txt) > all\n",
        "test": "#!/bin/bash\n[ \"$(cat all) $PLAIN $GRADER\" = 'plain 42 given plain me' ] && r=1 || r=0\n"
        "echo $r > /logs/verifier/reward.txt\n",
        "files": {"environment/given.txt": "given"},
    },
    "in-part": {
        "toml": WORKDIR,
        "test": "#!/bin/bash\n[ -e hello.txt ] && r=0.5 || r=0\necho $r > /logs/verifier/reward.txt\n",
    },
    "as-json": {
        "toml": WORKDIR,
        "test": '#!/bin/bash\n[ -e hello.txt ] && r=1 || r=0\necho "{\\"reward\\": $r}" > /logs/verifier/reward.json\n',
    },
    "steps": {
        "toml": 'multi_step_reward_strategy = "final"\n'
        + WORKDIR
        + '[[steps]]\nname = "one"\n[[steps]]\nname = "two"\n',
        "solve": None,
        "test": None,
        "files": {
            f"steps/{name}/{file}": text
            for name, script in {"one": HELLO, "two": "#!/bin/bash\nmv hello.txt two.txt\n"}.items()
            for file, text in {
                "instruction.md": "Do it.",
                "solution/solve.sh": script,
                "tests/test.sh": LOOK.format(f"{'two' if name == 'two' else 'hello'}.txt"),
            }.items()
        },
    },
}


@pytest.fixture
def ours(sandbox: Callable[..., EcsFargateSandbox]) -> Callable[[Path, str], dict[str, float]]:
    """What our own trials of the folders there give."""

    def make(**keys: Any) -> EcsFargateSandbox:
        started = sandbox(image_template=keys["image"], extra_env=keys.get("env"))
        started.start()
        return started

    def all_of(tasks: Path, actor: str) -> dict[str, float]:
        folders = tasks.glob("*/task.toml")
        trials = {each.parent.name: Trial(read_task(each), ACTORS[actor], make) for each in folders}
        with ThreadPoolExecutor(len(trials)) as threads:
            rewards = threads.map(lambda trial: trial.run().value, trials.values())
        return dict(zip(trials, rewards, strict=True))

    return all_of


@pytest.mark.parametrize("actor", ACTORS)
def test_the_example_tasks_have_the_rewards_that_our_own_trials_give(
    harbor: Callable[..., Any], ours: Callable[[Path, str], dict[str, float]], actor: str
) -> None:
    job = harbor(EXAMPLES, actor, "-n", "5")
    assert job.rewards == ours(EXAMPLES, actor)


@pytest.mark.parametrize("actor", ACTORS)
def test_what_tasks_may_say_is_as_in_our_own_trials(
    harbor: Callable[..., Any], ours: Callable[[Path, str], dict[str, float]], tmp_path: Path, actor: str
) -> None:
    for name, parts in FOLDERS.items():
        make_task(tmp_path / "tasks" / name, **parts)
    job = harbor(tmp_path / "tasks", actor, "-n", "7")
    assert job.rewards == ours(tmp_path / "tasks", actor)
    if actor == "oracle":
        assert job.rewards == {name: 0.5 if name == "in-part" else 1 for name in FOLDERS}
