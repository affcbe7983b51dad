"""Who looks at a run sees the last line of each build that is under way."""

from __future__ import annotations

import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
from pytest_fargate_sandbox.leaves.waiting import wait_until
from pytest_fargate_sandbox.place.image_builder_anywhere import ImageBuilder
from pytest_fargate_sandbox.place.resolve_place import resolve_place
from pytest_fargate_sandbox.records.ledger import Ledger
from pytest_fargate_sandbox.run.build_news import BuildNews
from tests.real_podman import busybox_image, remove_images

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests


@pytest.mark.needs("build steps")
def test_the_last_line_of_its_log_is_there_while_it_builds(
    engine: EngineOfTests, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("FARGATE_ENGINE_DIR", str(engine.directory))
    name = uuid.uuid4().hex[:10]
    lines = [f"FROM {busybox_image()}", f"LABEL name={name}", "RUN echo compiling the core; sleep 2.5"]
    (tmp_path / name).mkdir()
    (tmp_path / name / "Dockerfile").write_text("\n".join(lines))
    cfg = EcsFargateConfig(cluster="local", environment_dir=str(tmp_path / name))
    ledger, news = Ledger("run"), BuildNews()
    ledger.write("image", "building", **resolve_place(cfg).facts)

    def build() -> None:
        ImageBuilder.ensure_image_built(
            cfg=cfg, environment_name=name, on_build=lambda build: ledger.write("image", "build", build=build)
        )

    def told() -> bool | None:
        return news.lines(ledger.entries()).get("image") == "compiling the core" or None

    try:
        with ThreadPoolExecutor(1) as pool:
            built = pool.submit(build)
            wait_until(told, deadline=20, what="the line")
            built.result()
    finally:
        remove_images(f":{name}")
