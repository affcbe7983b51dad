"""What a page that was written has in it."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from pathlib import Path


def data_of(page: Path) -> dict[str, Any]:
    """As its script reads it."""
    [data] = re.findall(r'<script type="application/json" id="run">(.*?)</script>', page.read_text(encoding="utf-8"))
    return dict(json.loads(data))
