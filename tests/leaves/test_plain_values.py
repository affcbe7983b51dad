"""What a word that nobody knows is told by."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.plain_values import nearest_or_all


def test_a_mistyped_word_is_told_the_nearest_one_and_all_only_where_none_is_near() -> None:
    words = ["image", "cluster"]
    assert nearest_or_all("imge", words) == "; did you mean 'image'?"
    assert nearest_or_all("imge_template", words, ["image_template"]) == "; did you mean 'image_template'?"
    assert nearest_or_all("xyz", words, ["image_template"]) == " (allowed: image, cluster)"
