"""Task folders with images of their own, on podman: of the agent, of the verifier, and not root's."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run_pytest
from tests.real_podman import busybox_image, remove_images
from tests.task_folders import make_task

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.conftest import EngineLog

SOLVE = "#!/bin/sh\necho hello > hello.txt\n"
TEST = "#!/bin/sh\ngrep -qx hello hello.txt && [ ! -e only-here ] && r=1 || r=0\necho $r > /logs/verifier/reward.txt\n"
NOBODY = """#!/bin/sh
[ "$(cat /tmp/begun)" = "$(id -u)" ] && [ "$(id -u)" != 0 ] && [ "$(tail -n 1 hello.txt)" = "$(id -u)" ] && r=1 || r=0
echo $r > /logs/verifier/reward.txt
"""
RUN_TESTS = """#!/bin/bash
ls $TEST_DIR
echo '=== short test summary info ==='
grep -qx hello hello.txt && echo 'PASSED test_outputs.py::test_it' || echo 'FAILED test_outputs.py::test_it - no'
"""


@pytest.fixture
def mark() -> Iterator[str]:
    """Of the images of these tasks, at the end of each Dockerfile, so that podman knows all steps before it."""
    mark = f"mark={uuid.uuid4().hex}"
    yield mark
    remove_images("__", label=mark)


@pytest.mark.long
@pytest.mark.needs("build steps")
def test_images_are_built_and_the_older_format_is_graded(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, mark: str
) -> None:
    base, tasks = f"FROM {busybox_image()}\nWORKDIR /app\n", pytester.path / "tasks"
    make_task(
        tasks / "own",
        toml='artifacts = ["/app/hello.txt"]\n[verifier]\nenvironment_mode = "separate"\n',
        solve=SOLVE,
        test=TEST,
        files={
            "environment/Dockerfile": f"{base}COPY only-here .\nLABEL {mark}\n",
            "environment/only-here": "",
            "tests/Dockerfile": f"{base}COPY test.sh /tests/test.sh\nLABEL {mark}\n",
        },
    )
    not_root = {
        "environment/Dockerfile": f"{base}RUN chown nobody /app && mkdir roots\nCOPY --chmod=755 entry /entry\n"
        f'USER nobody\nENTRYPOINT ["/entry"]\nLABEL {mark}\n',
        "environment/entry": '#!/bin/sh\nid -u > /tmp/begun\nexec "$@"\n',
    }
    solve = f"{SOLVE}touch roots/mine || id -u >> hello.txt\n"
    make_task(tasks / "nobodys", toml="", solve=solve, test=NOBODY, files=not_root)
    files = {
        "task.yaml": "instruction: Say hello.\ndifficulty: easy\n",
        "Dockerfile": f"{base}COPY --chmod=755 bash /bin/bash\nLABEL {mark}\n",
        "bash": '#!/bin/sh\nexec sh "$@"\n',
        "docker-compose.yaml": "services:\n  client:\n    build: .\n",
        "solution.sh": SOLVE,
        "run-tests.sh": RUN_TESTS,
        "tests/test_outputs.py": "raise SystemExit\n",
    }
    for name, content in files.items():
        (tasks / "old" / name).parent.mkdir(parents=True, exist_ok=True)
        (tasks / "old" / name).write_text(content)
    result = run_pytest(
        pytester,
        *("-p", "no:cacheprovider", "-p", "no:xdist", "--fargate-tasks", "-rA"),
        *("--fargate-adversaries=none", "-k", "oracle"),
        timeout=200,
    )
    result.assert_outcomes(passed=3, deselected=3)
    result.stdout.fnmatch_lines_random(
        [
            "PASSED tasks/own/task.toml::oracle",
            "PASSED tasks/nobodys/task.toml::oracle",
            "PASSED tasks/old/task.yaml::oracle",
        ]
    )
    assert shared_engine_log.cut_off() == []
