"""``fargate-sandbox prebuild``: what is built once is found by every later run."""

from __future__ import annotations

import secrets
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.cli.main import main
from tests.real_podman import busybox_image, remove_images
from tests.task_folders import make_task

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


@pytest.mark.needs("build steps")
def test_images_are_built_once_and_what_fails_keeps_none_from_being_built(
    engine: EngineOfTests, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    mark = secrets.token_hex(4)
    for name, line in (("a", "RUN true"), ("b", "RUN echo no such package; exit 9"), ("c", "RUN :")):
        dockerfile = f"FROM {busybox_image()}\nLABEL mark={mark}\n{line}\n"
        make_task(tmp_path / name, toml="[agent]\n", files={"environment/Dockerfile": dockerfile})
    try:
        assert main(["prebuild", str(tmp_path)]) == 1
        first = capsys.readouterr()
        assert "\n3/3 " in first.err
        assert first.out.startswith(f"{tmp_path}/b/environment: ")
        assert "no such package" in first.out
        builds = engine.count()["StartBuild"]
        assert main(["prebuild", "--cluster=local", str(tmp_path / "a"), str(tmp_path / "c")]) == 0
        assert capsys.readouterr().out == "2 images are there\n"
        assert engine.count()["StartBuild"] == builds
    finally:
        remove_images("environment__", label=f"mark={mark}")


def test_what_keeps_all_from_being_built_is_told_once(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in "abc":
        make_task(tmp_path / name, toml="[agent]\n", files={"environment/Dockerfile": f"FROM debian:13\nRUN {name}\n"})
    assert main(["prebuild", "--cluster=bench", str(tmp_path)]) == 1
    [told] = capsys.readouterr().out.splitlines()
    assert " and 2 more: ecr_repository is not set" in told


def test_where_nobody_names_a_cluster_it_is_pytests(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    make_task(tmp_path / "a", toml="[agent]\n", files={"environment/Dockerfile": "FROM scratch\n"})
    monkeypatch.setenv("FARGATE_CLUSTER", "bench")
    assert main(["prebuild", "a"]) == 1
    assert "ecr_repository is not set" in capsys.readouterr().out
    monkeypatch.delenv("FARGATE_CLUSTER")
    monkeypatch.setenv("FARGATE_TTL", "soon")
    assert main(["prebuild", "a"]) == 1
    assert capsys.readouterr().err == "fargate-sandbox: FARGATE_TTL=soon: expected a whole number\n"


def test_a_directory_without_a_task_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["prebuild", str(tmp_path), str(tmp_path / "typo")]) == 1
    assert capsys.readouterr().err == f"fargate-sandbox: {tmp_path}: no task.toml or task.yaml there\n"
    make_task(tmp_path / "t")
    assert main(["prebuild", str(tmp_path), str(tmp_path / "typo")]) == 1
    assert capsys.readouterr().err == f"fargate-sandbox: {tmp_path}/typo: no such directory\n"


def test_without_a_dockerfile_there_is_nothing_to_build(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    make_task(tmp_path / "t")
    assert main(["prebuild", str(tmp_path)]) == 0
    assert capsys.readouterr().out == "no task there has a Dockerfile: nothing to build\n"
