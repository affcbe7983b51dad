from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.errors import ImageBuildError
from pytest_fargate_sandbox.providers.images.content_tag import build_tag, fitting_tag, get_ecr_image_tag

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def environment(tmp_path: Path) -> Path:
    root = tmp_path / "environment"
    (root / "src" / "a").mkdir(parents=True)
    (root / "src-a").write_bytes(b"sorts after src/, though not as a string")
    (root / "src" / "a" / "x.py").write_bytes(b"print(1)\n")
    (root / "Dockerfile").write_bytes(b"FROM scratch\n")
    return root


def test_the_plain_tag_is_a_hash_of_sorted_paths_and_contents(environment: Path) -> None:
    expected = hashlib.sha256()
    for path in sorted(environment.rglob("*")):
        if path.is_file():
            expected.update(str(path.relative_to(environment)).encode())
            expected.update(path.read_bytes())

    assert get_ecr_image_tag(environment, "web") == f"web__{expected.hexdigest()[:8]}"


def test_a_link_to_a_file_counts_with_its_bytes_in_the_plain_tag(environment: Path) -> None:
    before = get_ecr_image_tag(environment, "web")
    (environment / "link").symlink_to("Dockerfile")
    with_link = get_ecr_image_tag(environment, "web")
    (environment / "link").unlink()
    (environment / "link").write_bytes(b"FROM scratch\n")

    assert before != with_link == get_ecr_image_tag(environment, "web")


def test_times_do_not_change_a_tag(environment: Path) -> None:
    before = build_tag(environment, "web", "X86_64")
    os.utime(environment / "Dockerfile", (1, 1))

    assert build_tag(environment, "web", "X86_64") == before


def test_a_chmod_is_another_build_and_the_same_plain_tag(environment: Path) -> None:
    plain, built = get_ecr_image_tag(environment, "web"), build_tag(environment, "web", "X86_64")
    (environment / "src" / "a" / "x.py").chmod(0o755)

    assert get_ecr_image_tag(environment, "web") == plain
    assert build_tag(environment, "web", "X86_64") != built


@pytest.mark.parametrize("change", ["empty directory", "link elsewhere"])
def test_what_the_plain_tag_does_not_see_is_another_build(environment: Path, change: str) -> None:
    (environment / "link").symlink_to("nowhere")
    built = build_tag(environment, "web", "X86_64")
    if change == "empty directory":
        (environment / "empty").mkdir()
    else:
        (environment / "link").unlink()
        (environment / "link").symlink_to("elsewhere")

    assert build_tag(environment, "web", "X86_64") != built


def test_another_architecture_is_another_build(environment: Path) -> None:
    assert build_tag(environment, "web", "X86_64") != build_tag(environment, "web", "ARM64")


@pytest.mark.parametrize("name", ["sp ace/and:colon", "..", "-dash", "ünï", "x" * 300, ""])
def test_a_name_with_odd_characters_still_gives_a_tag_that_a_registry_takes(environment: Path, name: str) -> None:
    assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}", build_tag(environment, name, "X86_64"))


def test_a_fitting_name_is_left_as_it_is() -> None:
    assert fitting_tag("web_1.2-x", "__abc") == "web_1.2-x__abc"


def test_a_directory_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ImageBuildError, match="/nope: no such directory"):
        get_ecr_image_tag(tmp_path / "nope", "web")
