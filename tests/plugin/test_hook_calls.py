"""What somebody's hooks do wrong is told with the hook's name, and what they raise is shown as theirs alone."""

from __future__ import annotations

import pytest

from tests.plugin.one_process import run

MISTAKES = {
    "pytest_fargate_image": {
        "number": ("return 3", "pytest_fargate_image gives 3, of type int: expected an image's name*, or None"),
        "bytes": ("return b'debian'", "pytest_fargate_image gives b'debian', of type bytes: expected an image's name*"),
        "nothing": ("return ''", "pytest_fargate_image gives '': expected an image's name*"),
        "sign": (r"return 'deb\aian'", r"pytest_fargate_image gives 'deb\x07ian': expected an image's name*"),
        "half": (r"return 'deb\udc80ian'", r"pytest_fargate_image gives 'deb\udc80ian': expected an image's name*"),
    },
    "pytest_fargate_modify_task": {
        "cpu": ("task['cpu'] = 'many'", "pytest_fargate_modify_task: cpu='many': expected a whole number"),
        "env": ("task['env'] = {'A': [1]}", "pytest_fargate_modify_task: env.A is of type list: expected a string*"),
        "image": ("task['image'] = 3", "pytest_fargate_modify_task: image=3: expected an image's name*"),
        "made_up": ("task['imge'] = 'x'", "pytest_fargate_modify_task: unknown key imge='x'; did you mean 'image'[?]"),
        "removed": ("task.clear()", "pytest_fargate_modify_task: cluster='': expected an ECS cluster*"),
        "way_in": ("task['ssh_sidecar'] = None", "pytest_fargate_modify_task: ssh_sidecar is not configured*"),
        "copy": (
            "return {**task, 'cpu': 256}",
            "pytest_fargate_modify_task gives a dict: expected nothing, for it changes its task in place",
        ),
    },
}


def _hook(name: str, mistakes: dict[str, tuple[str, str]]) -> str:
    arguments = "item, task" if name == "pytest_fargate_modify_task" else "item"
    lines = [f"    if item.name == 'test_{name}_{case}': {code}" for case, (code, _) in mistakes.items()]
    return "\n".join([f"def {name}({arguments}):", *lines])


@pytest.mark.usefixtures("shared_engine_log")
def test_what_is_wrong_with_what_a_hook_gives_is_one_sentence_that_names_it(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("\n".join(_hook(*each) for each in MISTAKES.items()))
    told = {f"test_{name}_{case}": words for name, of in MISTAKES.items() for case, (_, words) in of.items()}
    result = run(pytester, "\n".join(f"def {test}(fargate_sandbox): pass" for test in told), "--fargate-prelaunch=0")
    result.assert_outcomes(errors=len(told))
    for test, words in told.items():
        result.stdout.fnmatch_lines([f"*_ ERROR at setup of {test} _*", words])
    result.stdout.no_fnmatch_line("*launched*")


@pytest.mark.usefixtures("shared_engine_log")
def test_what_a_hook_raises_is_shown_with_its_own_lines_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest(
        """
def pytest_fargate_image(item):
    return {}["an image"] if "image" in item.name else None

def pytest_fargate_modify_task(item, task):
    assert "task" not in item.name, "no task"

def pytest_fargate_sandbox_started(item, sandbox):
    if "started" in item.name:
        raise RuntimeError("none of yours")
"""
    )
    source = "\n".join(f"def test_{name}(fargate_sandbox): pass" for name in ("image", "task", "started"))
    result = run(pytester, source, "--fargate-prelaunch=0")
    result.assert_outcomes(errors=3)
    result.stdout.fnmatch_lines(
        [
            *(">*an image*", "E * KeyError: 'an image'", "conftest.py:*: KeyError"),
            *(">*assert*", "E * AssertionError: no task", "conftest.py:*: AssertionError"),
            *(">*raise RuntimeError*", "E * RuntimeError: none of yours", "conftest.py:*: RuntimeError"),
        ]
    )
    result.stdout.no_re_match_line(r".*pytest_fargate_sandbox/\S+:\d+")
    in_full = run(pytester, source, "--fargate-prelaunch=0", "--full-trace", "-k", "image")
    in_full.stdout.re_match_lines([r".*pytest_fargate_sandbox/plugin/leases.py:\d+"])


@pytest.mark.parametrize("hook", ["image(item)", "modify_task(item, task)", "sandbox_started(item, sandbox)"])
@pytest.mark.usefixtures("shared_engine_log")
def test_a_hook_for_which_nobody_waits_is_told(pytester: pytest.Pytester, hook: str) -> None:
    pytester.makeconftest(f"async def pytest_fargate_{hook}: pass")
    result = run(pytester, "def test_it(fargate_sandbox): pass", "--fargate-prelaunch=0", "-Werror")
    result.assert_outcomes(errors=1)
    name = hook.partition("(")[0]
    result.stdout.fnmatch_lines([f"pytest_fargate_{name} is an async function: expected one that does its work when *"])


@pytest.mark.usefixtures("shared_engine_log")
def test_what_a_hook_changes_within_a_value_concerns_its_test_alone(pytester: pytest.Pytester) -> None:
    pytester.makeconftest("def pytest_fargate_modify_task(item, task): task['extra_env'][item.name] = 'mine'")
    pytester.makepyprojecttoml("[tool.pytest_fargate_sandbox.extra_env]\nPORT = 8080\n")
    source = """
def test_first(fargate_sandbox):
    assert fargate_sandbox.exec("echo $PORT $test_first $test_second").stdout == "8080 mine\\n"

def test_second(fargate_sandbox):
    assert fargate_sandbox.exec("echo $PORT $test_first $test_second").stdout == "8080 mine\\n"
"""
    run(pytester, source, "--fargate-prelaunch=0").assert_outcomes(passed=2)
