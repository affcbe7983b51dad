"""The table of docs/options.md, made of the code's. ``python -m tests.plugin.settings.options_page`` writes it."""

from __future__ import annotations

from pathlib import Path

from pytest_fargate_sandbox.plugin.settings.option_table import TABLE

PAGE = Path(__file__).parents[3] / "docs" / "options.md"
_PLACE = "<!-- options: made by `python -m tests.plugin.settings.options_page` -->\n"


def text() -> str:
    """The page as it should be."""
    rows = ["| option | environment | ini | meaning |", "| --- | --- | --- | --- |"]
    for option in TABLE:
        usage = option.usage.replace("|", "\\|")
        rows.append(f"| `{usage}` | `{option.variable}` | `{option.ini}` | {option.meaning} |")
    return PAGE.read_text().partition(_PLACE)[0] + _PLACE + "\n" + "\n".join(rows) + "\n"


if __name__ == "__main__":
    PAGE.write_text(text())
