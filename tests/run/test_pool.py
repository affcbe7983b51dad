from __future__ import annotations

import pytest

from pytest_fargate_sandbox.run.pool import name_for


@pytest.mark.parametrize(
    ("test", "name"),
    [
        ("a/test_b.py::TestC::test_d", "test-d"),
        ("a/test_b.py::test_d[x y]", "test-d-x-y"),
        ("a/test_b.py::test_d[http://a/b::c]", "test-d-http---a-b--c"),
        ("ahead", "ahead"),
    ],
)
def test_a_sandbox_is_called_by_its_tests_function_and_parameters(test: str, name: str) -> None:
    assert name_for(test) == name
