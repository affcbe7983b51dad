"""The page of the library has what the code has, and what is public stands on some page."""

from __future__ import annotations

import re
from pathlib import Path

import pytest_fargate_sandbox
from pytest_fargate_sandbox.leaves.names import Cause
from tests.leaves.config_page import PAGE, with_parts


def test_the_page_has_each_field_and_each_error_as_the_code_has_them() -> None:
    """``python -m tests.leaves.config_page`` writes it."""
    page = PAGE.read_text()
    assert page == with_parts(page)
    assert [cause for name, cause in vars(Cause).items() if name.isupper() and f"`{cause}`" not in page] == []


def test_every_public_name_is_told_on_a_page() -> None:
    words = {word for page in Path(PAGE).parent.glob("*.md") for word in re.findall(r"\w+", page.read_text())}
    public = {name for name in dir(pytest_fargate_sandbox) if name in pytest_fargate_sandbox._HOMES}
    assert all(hasattr(pytest_fargate_sandbox, name) for name in public)
    assert public - words == set()
