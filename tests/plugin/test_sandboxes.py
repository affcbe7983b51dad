"""Fixtures and marker on the real engine, in one process."""

from __future__ import annotations

import subprocess
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run, run_pytest
from tests.warm_python import Popen

if TYPE_CHECKING:
    from tests.engine_of_tests import EngineOfTests
    from tests.plugin.conftest import EngineLog


def test_with_nothing_configured_at_all_a_test_has_its_own_sandbox(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import unittest, pytest

def test_hello(fargate_sandbox):
    assert fargate_sandbox.exec("uname").stdout == "Linux\\n"

def test_another(fargate_sandbox):
    assert fargate_sandbox.exec("touch /tmp/here; ls /tmp/here").ok

@pytest.mark.usefixtures("fargate_sandbox")
class TestUsed:
    def test_it(self, fargate_sandbox):
        assert not fargate_sandbox.exec("ls /tmp/here").ok

class TestUnittest(unittest.TestCase):
    @pytest.fixture(autouse=True)
    def _sandbox(self, fargate_sandbox):
        self.sandbox = fargate_sandbox

    def test_it(self):
        self.assertTrue(self.sandbox.exec("true").ok)

def test_from_async_code(fargate_sandbox):
    import asyncio
    async def main():
        return await asyncio.to_thread(fargate_sandbox.exec, "echo async")
    assert asyncio.run(main()).stdout == "async\\n"
""",
    )
    result.assert_outcomes(passed=5)
    result.stdout.fnmatch_lines(["*fargate sandboxes*", "cluster=local (default)", "5 launched; about $*on AWS*"])
    assert engine_log.cut_off() == []
    assert engine_log.calls("RegisterTaskDefinition") == 1
    assert engine_log.calls("RunTask") == engine_log.calls("StopTask") == 5


@pytest.mark.usefixtures("shared_engine_log")
def test_the_marker_and_indirect_parameters_say_what_it_is_made_of(pytester: pytest.Pytester) -> None:
    (pytester.path / "data.txt").write_text("from here")
    result = run(
        pytester,
        """
import pytest

pytestmark = pytest.mark.fargate(cpu=256, memory=512, env={"A": "module", "B": "module"})

@pytest.mark.fargate(env={"B": "function"}, files={"/srv/data.txt": "data.txt"}, exec_timeout=0.5)
def test_marked(fargate_sandbox):
    assert fargate_sandbox.exec("echo $A $B; cat /srv/data.txt").stdout == "module function\\nfrom here"
    assert fargate_sandbox.exec("sleep 30").timed_out

@pytest.mark.parametrize("fargate_sandbox", [{"env": {"B": "parameter"}}], indirect=True)
def test_indirect(fargate_sandbox):
    assert fargate_sandbox.exec("echo $A $B").stdout == "module parameter\\n"

@pytest.mark.fargate(image="nowhere:1", retries=0)
def test_image(fargate_sandbox): pass

@pytest.mark.fargate(files={"/srv/x": "no-such-file"})
def test_files(fargate_sandbox): pass
""",
    )
    result.assert_outcomes(passed=2, errors=2)
    result.stdout.fnmatch_lines(["*CannotPullContainer*nowhere:1*", "fargate(files=*no-such-file*"])


def test_a_factory_makes_several_and_a_test_that_needs_too_many_is_told(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
def test_two(fargate_sandbox_factory):
    server, client = fargate_sandbox_factory(env={"ROLE": "server"}), fargate_sandbox_factory()
    assert server.exec("echo $ROLE").stdout == "server\\n"
    assert client.exec("echo $ROLE").stdout == "\\n"

def test_three(fargate_sandbox_factory):
    for _ in range(3):
        fargate_sandbox_factory()

def test_typo(fargate_sandbox_factory):
    fargate_sandbox_factory(imge="x")
""",
        "--fargate-max-tasks=2",
    )
    result.assert_outcomes(passed=1, failed=2)
    result.stdout.fnmatch_lines(["*this test needs 3 sandboxes at once, and the bound on tasks is 2*"])
    result.stdout.fnmatch_lines(["*fargate has no key 'imge'; did you mean 'image'?*"])
    assert shared_engine_log.cut_off() == []
    assert shared_engine_log.most_alive() == 2


def test_session_sandboxes_are_shared_and_replaced_when_they_die(
    pytester: pytest.Pytester, shared_engine_log: EngineLog
) -> None:
    result = run(
        pytester,
        """
import pytest

@pytest.fixture(scope="module")
def service(fargate_session_factory):
    return fargate_session_factory(env={"NAME": "service"})

def test_one(fargate_session_sandbox):
    assert fargate_session_sandbox.exec("echo 1 >> /tmp/count").ok

def test_two(fargate_session_sandbox, service):
    assert fargate_session_sandbox.exec("wc -l < /tmp/count").stdout.strip() == "1"
    assert service.exec("echo $NAME").stdout == "service\\n"

died = []

def test_death(fargate_session_sandbox):
    if not died:
        died.append(fargate_session_sandbox.task_arn)
        fargate_session_sandbox.aws.call("ecs", "StopTask", cluster="local", task=died[0])
        fargate_session_sandbox.exec("sleep 60")  # until the task dies under it
    assert fargate_session_sandbox.exec("ls /tmp/count").return_code == 2
    assert fargate_session_sandbox.task_arn != died[0]
""",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["*1 run again after infrastructure errors*"])
    assert shared_engine_log.cut_off() == []


@pytest.mark.usefixtures("shared_engine_log")
def test_a_conftest_decides_otherwise(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
import dataclasses, pytest

@pytest.fixture(scope="session")
def fargate_config(fargate_config):
    return dataclasses.replace(fargate_config, extra_env={"WHO": "conftest"})
"""
    )
    result = run(
        pytester,
        """
import pytest

@pytest.mark.parametrize("n", range(3))
def test_it(fargate_sandbox, n):
    assert fargate_sandbox.exec("echo $WHO").stdout == "conftest\\n"
""",
    )
    result.assert_outcomes(passed=3)
    result.stdout.fnmatch_lines(["3 launched; *"])


@pytest.mark.usefixtures("shared_engine_log")
def test_a_number_is_a_value_of_a_variable_wherever_it_is_said(pytester: pytest.Pytester) -> None:
    pytester.makepyprojecttoml("[tool.pytest_fargate_sandbox.env]\nTABLE = 1\nTRUTH = true\n")
    result = run(
        pytester,
        """
import pytest

@pytest.mark.fargate(env={"MARKER": 2})
def test_it(fargate_sandbox_factory):
    made = fargate_sandbox_factory(env={"FACTORY": 2.5})
    said = made.exec('echo "$TABLE $TRUTH $MARKER $FACTORY $EXEC"', env={"EXEC": 4, "HOME": None}).stdout
    assert said == "1 true 2 2.5 4\\n"
    with pytest.raises(ValueError, match="env.'A'. is of type list: expected a string, a number, true or false"):
        made.exec("true", env={"A": [1]})
""",
    )
    result.assert_outcomes(passed=1)


@pytest.mark.usefixtures("shared_engine_log")
def test_hooks_are_called_through_the_items_own_conftests(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
def pytest_fargate_modify_task(item, task):
    task["extra_env"] = {**(task["extra_env"] or {}), "TEST": item.name}

def pytest_fargate_image(item):
    return "host" if "image" in item.name else None

def pytest_fargate_sandbox_started(item, sandbox):
    sandbox.exec("echo started > /tmp/hook")

def pytest_fargate_sandbox_stopped(item, sandbox):
    print("STOPPED", item.name, sandbox.is_running)
    raise ValueError("of its own")
"""
    )
    result = run(
        pytester,
        """
import pytest

def test_task(fargate_sandbox):
    assert fargate_sandbox.exec("echo $TEST; cat /tmp/hook").stdout == "test_task\\nstarted\\n"

@pytest.mark.fargate(image="nowhere")
def test_image(fargate_sandbox):
    assert fargate_sandbox.exec("true").ok
""",
        *("-s", "-Werror"),
    )
    result.assert_outcomes(passed=2, warnings=2)
    result.stdout.fnmatch_lines(["*STOPPED test_task False*", "*STOPPED test_image False*"])
    told = "*TeardownWarning: pytest_fargate_sandbox_stopped of test-task-*: ValueError: of its own (conftest.py:12)"
    result.stdout.fnmatch_lines([told])


@pytest.mark.usefixtures("shared_engine_log")
def test_a_cluster_that_does_not_exist_is_an_error_on_the_test(pytester: pytest.Pytester) -> None:
    result = run(
        pytester,
        """
import dataclasses, pytest
from pytest_fargate_sandbox.place.local_cluster import local_engine

@pytest.fixture(scope="session")
def fargate_config(fargate_config):
    engine = local_engine()
    here = engine.localized(fargate_config)
    import os
    os.environ.update(AWS_ACCESS_KEY_ID=engine.credentials.access_key_id,
                      AWS_SECRET_ACCESS_KEY=engine.credentials.secret_access_key)
    return dataclasses.replace(here, cluster="nowhere", image_template="host")

def test_it(fargate_sandbox): pass
""",
    )
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_it*",
            "*ClusterNotFound*",
            "there is no ECS cluster 'nowhere'*: check `--fargate-cluster` and `--fargate-region` (*",
        ]
    )


def test_an_engine_that_was_started_by_hand_serves_run_after_run(
    pytester: pytest.Pytester, engine_log: EngineLog
) -> None:
    state = pytester.path / "state"
    command = ["-m", "pytest_fargate_sandbox.cli.main", "engine", "--state", str(state), "--image", "mine=/"]
    pytester.makepyfile('import pytest\n@pytest.mark.fargate(image="mine")\ndef test_it(fargate_sandbox): pass\n')
    with Popen[bytes](command, stdout=subprocess.PIPE) as engine:
        assert engine.stdout is not None
        while not engine.stdout.readline().startswith(b"#"):
            assert engine.poll() is None
        for workers in ("-n0", "-n1"):
            result = run_pytest(pytester, f"--fargate-engine={state}", workers)
            result.assert_outcomes(passed=1)
        assert engine.poll() is None
        engine.terminate()
        assert engine.wait(20) == 0
    assert engine_log.engines_started() == 1


@pytest.mark.needs("timeout")
def test_a_time_out_in_our_wait_leaves_nothing(
    pytester: pytest.Pytester, shared_engine_log: EngineLog, engine: EngineOfTests
) -> None:
    engine.fault(slow_pull=30)
    try:
        result = run(pytester, "def test_it(fargate_sandbox): pass", "--timeout=3", "--timeout-method=signal")
    finally:
        engine.fault(slow_pull=0)
    assert result.parseoutcomes() == {"errors": 1} or result.parseoutcomes() == {"error": 1}
    result.stdout.fnmatch_lines(
        ["Timeout (>3.0s) from pytest-timeout.", "*What it waited for*", "*, in pytest_fargate_sandbox.*:*"]
    )
    assert shared_engine_log.cut_off() == []
