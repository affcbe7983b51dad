"""What the namespaces runner promises it keeps without root: the same tests again, as somebody without any right."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.local.unprivileged import Somebody

if TYPE_CHECKING:
    from collections.abc import Iterator

pytestmark = [pytest.mark.root, pytest.mark.needs("another user", "busybox", "sshd")]


@pytest.fixture(scope="module")
def somebody() -> Iterator[Somebody]:
    """His directory is not under pytest's own, which nobody else may enter."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        yield Somebody(Path(directory) / "home")


@pytest.mark.parametrize(
    "tests",
    [
        "local/test_namespaces.py",
        "local/test_namespaces_hostile.py",
        "local/test_namespaces_leaks.py",
        "local/test_namespaces_network.py",
        "local/test_namespaces_sidecar.py",
        "local/test_scratch.py",
        "sandbox/test_fargate_conformance.py",
    ],
)
def test_without_root(somebody: Somebody, tests: str) -> None:
    temporary = somebody.home / Path(tests).stem
    # The large one says nothing about users, and has been run already.
    options = ["-q", "-p", "no:cacheprovider", "-n", "0", f"--basetemp={temporary}", "-k", "not a_large_file"]
    done = somebody.run("-m", "pytest", *options, f"tests/{tests}", timeout=280)
    assert done.returncode == 0, done.stdout[-5000:] + done.stderr[-2000:]
    assert " passed" in done.stdout
