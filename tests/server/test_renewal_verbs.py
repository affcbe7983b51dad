"""What is taken away of a container that is made as new."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.server.renewal.renewal_verbs import _remove

if TYPE_CHECKING:
    from pathlib import Path


def test_what_has_gone_is_gone_and_no_way_to_it_is_followed_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "kept").touch()
    (tmp_path / "link").symlink_to("elsewhere")
    (tmp_path / "file").touch()
    for path in ("gone", "gone/too"):
        _remove(bytes(tmp_path / path))
    for path in ("link/kept", "file/in it"):
        with pytest.raises(NotADirectoryError, match=path.partition("/")[0]):
            _remove(bytes(tmp_path / path))
    assert (tmp_path / "elsewhere" / "kept").exists()
