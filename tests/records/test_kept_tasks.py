"""Which tasks are kept, as their files say."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.user_cache import cache_directory
from pytest_fargate_sandbox.records.kept_tasks import KeptTask, kept_task, kept_tasks


def test_what_another_version_has_kept_in_its_own_form_keeps_nobody_from_the_others() -> None:
    ours = KeptTask("arn:task/local/b", "id", "run", "host", "image", 0, {}, {}, {}, "entry")
    others = cache_directory("kept") / "a.json"
    others.write_text('{"of": "another version"}')
    ours.save()
    try:
        assert ours in list(kept_tasks())
        assert kept_task("arn:task/local/a") is None
    finally:
        others.unlink()
        ours.forget()
