"""The marker: which of several marks holds, and what is told about a bad one."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from xml.etree import ElementTree

import pytest

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.plugin import wish
from pytest_fargate_sandbox.plugin.settings import marker
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from tests.plugin.conftest import EngineLog


def keys_by_test(pytester: pytest.Pytester, source: str) -> dict[str, dict[str, Any]]:
    items, _ = pytester.inline_genitems(pytester.makepyfile(f"import pytest\n{source}"))
    return {item.name: marker.keys_of(item) for item in items}


def test_a_parameter_beats_the_function_the_class_and_the_module(pytester: pytest.Pytester) -> None:
    keys = keys_by_test(
        pytester,
        """
pytestmark = pytest.mark.fargate(image="module", cpu=256, memory=512, ttl=1)

@pytest.mark.fargate(image="class", cpu=512, memory=1024)
class TestIt:
    @pytest.mark.fargate(image="function", cpu=1024)
    @pytest.mark.parametrize("n", [pytest.param(1, marks=pytest.mark.fargate(image="parameter"), id="marked"),
                                   pytest.param(2, id="bare")])
    def test(self, n): pass
""",
    )
    assert keys["test[marked]"] == {"image": "parameter", "cpu": 1024, "memory": 1024, "ttl": 1}
    assert keys["test[bare]"] == {"image": "function", "cpu": 1024, "memory": 1024, "ttl": 1}


def test_env_and_files_are_merged(pytester: pytest.Pytester) -> None:
    keys = keys_by_test(
        pytester,
        """
pytestmark = pytest.mark.fargate(env={"A": "module", "B": "module"}, files={"/a": "a"})

@pytest.mark.fargate(env={"B": "function"}, files={"/b": "b"})
def test(): pass
""",
    )
    assert keys["test"] == {"env": {"A": "module", "B": "function"}, "files": {"/a": "a", "/b": "b"}}


def test_a_nearer_environment_replaces_an_image(pytester: pytest.Pytester) -> None:
    keys = keys_by_test(
        pytester,
        'pytestmark = pytest.mark.fargate(image="module")\n@pytest.mark.fargate(environment="env")\ndef test(): pass\n',
    )
    assert keys["test"] == {"environment": "env"}


def test_the_names_of_fields_and_options_are_other_names_of_the_keys(pytester: pytest.Pytester) -> None:
    keys = keys_by_test(
        pytester,
        """
pytestmark = pytest.mark.fargate(image_template="module", infra_retries=2, extra_env={"A": "module"})

@pytest.mark.fargate(image="function", sidecar_mode="agent", max_task_lifetime_sec=60, env={"B": "function"})
def test(): pass

@pytest.mark.fargate(environment_dir="env")
def test_built(): pass
""",
    )
    assert keys["test"] == {
        "image": "function",
        "retries": 2,
        "mode": "agent",
        "ttl": 60,
        "env": {"A": "module", "B": "function"},
    }
    assert keys["test_built"]["environment"] == "env"
    assert "image" not in keys["test_built"]


class Odd:
    def __repr__(self) -> str:
        raise AttributeError("no repr")


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"imge": "x"}, "fargate has no key 'imge'; did you mean 'image'?"),
        ({"xyz": "x"}, "fargate has no key 'xyz' (allowed: image, "),
        ({"ttl": -5}, "fargate(ttl=-5): expected a whole number above 0"),
        (
            {"keep": "allways"},
            "fargate(keep='allways'): expected 'never' or 'failed' or 'always'; did you mean 'always'?",
        ),
        ({"mode": "ssh"}, "fargate(mode='ssh'): expected 'exec' or 'agent'"),
        ({"image": "x", "environment": "y"}, "image or environment, not both"),
        ({"env": ["TOKEN=secret"]}, "fargate(env=…) is of type list: expected a mapping of names to strings"),
        ({"image": ""}, "fargate(image=''): expected an image's name, or a template of one"),
        ({"image": "deb\udc80ian"}, r"fargate(image='deb\udc80ian'): expected an image's name"),
        ({"image": "debian:12\n"}, r"fargate(image='debian:12\n'): expected an image's name"),
        ({"env": {"TOKEN": "secret", "A": [1]}}, "fargate(env['A']=…) is of type list: expected a string, a number"),
        ({"env": {5: "x"}}, "fargate(a name in env=5): expected a string"),
        ({"max_task_lifetime_sec": -5}, "fargate(ttl=-5): expected a whole number above 0"),
        ({"ttl": 5, "max_task_lifetime_sec": 5}, "ttl is said twice"),
        ({"files": ["a"]}, "a mapping of paths in the sandbox to local ones"),
        ({"files": {"a": 5}}, "a mapping of paths in the sandbox to local ones"),
        ({"image": Odd()}, "AttributeError: no repr"),
        ({"outside": ["http://x"]}, "a list of OutsideEndpoint or (url, env_var)"),
        ({"exec_timeout": 0}, "a number above 0"),
        ({"exec_timeout": 10**400}, "a number above 0, at most 2147483647"),
        ({"image": "x" * 600}, "without blanks, of at most 512 characters"),
        ({"files": {"a\0": "b"}}, "a mapping of paths in the sandbox to local ones"),
        ({"exec_timeout": float("inf")}, "fargate(exec_timeout=inf): expected a number above 0"),
        ({"retries": True}, "0 or more"),
        ({"cpu": "much"}, "a whole number"),
        ({"container_port": "8000"}, "a port, 1 to 65535"),
        ({"container_port": 70000}, "a port, 1 to 65535"),
    ],
)
def test_a_bad_key_is_told_by_name_and_value(given: dict[str, Any], told: str) -> None:
    with pytest.raises(ConfigError) as raised:
        marker.checked((), given, "test_it.py::test")
    assert told in str(raised.value)
    assert str(raised.value).startswith("test_it.py::test: ")


@pytest.mark.parametrize("given", [None, {"cluster": "local"}])
def test_a_fargate_config_that_is_none_is_told(given: Any) -> None:
    with pytest.raises(
        ConfigError, match=f"`fargate_config` gives a {type(given).__name__}: expected an EcsFargateConfig"
    ):
        wish.resolve(given, {}, None, None)  # type: ignore[arg-type]


def test_positional_arguments_are_refused() -> None:
    with pytest.raises(ConfigError, match="keywords only, not 'python'"):
        marker.checked(("python",), {}, "test_it.py::test")


@pytest.mark.parametrize("workers", ["-n0", "-n2"])
def test_a_typo_is_an_error_on_the_one_test_it_concerns(pytester: pytest.Pytester, workers: str) -> None:
    pytester.makepyfile(
        test_it="""
        import pytest

        @pytest.fixture
        def fargate_sandbox():
            return "override"

        @pytest.mark.fargate(imge="python")
        def test_typo(fargate_sandbox): pass

        @pytest.mark.fargate(image="python")
        def test_fine(fargate_sandbox): pass
        """
    )
    result = run_pytest(pytester, workers, "--junit-xml=junit.xml")
    result.assert_outcomes(errors=1, passed=1)
    result.stdout.fnmatch_lines(
        [
            "*ERROR at setup of test_typo*",
            "*::test_typo: fargate has no key 'imge'; did you mean 'image'?*",
            "ERROR *::test_typo - ConfigError: fargate has no key*",
        ]
    )
    result.stdout.no_fnmatch_line("*INTERNALERROR*")
    result.stdout.no_re_match_line("(>|E) .*")
    (error,) = ElementTree.parse(pytester.path / "junit.xml").iter("error")
    assert "ConfigError: fargate has no key 'imge'" in str(error.get("message"))


def test_what_fails_in_a_users_own_code_is_told_with_its_line(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(
        """
        import pytest

        @pytest.fixture
        def mine(fargate_sandbox_factory):
            return fargate_sandbox_factory(imge="python")

        def test_mine(mine): pass
        """
    )
    result = run_pytest(pytester, "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(
        [
            '>       return fargate_sandbox_factory(imge="python")',
            "E       *ConfigError: the factory: fargate has no key 'imge'; did you mean 'image'?*",
        ]
    )
    result.stdout.no_fnmatch_line("*marker.py*")


def test_a_full_trace_shows_ours_too(pytester: pytest.Pytester, engine_log: EngineLog) -> None:
    pytester.makepyfile("import pytest\n@pytest.mark.fargate(ttl=-5)\ndef test_ttl(fargate_sandbox): pass\n")
    result = run_pytest(pytester, "-p", "no:xdist", "--full-trace")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["E  *ConfigError: *::test_ttl: fargate(ttl=-5): expected a whole number above 0"])
    assert engine_log.lines == []
