"""The documentation site: ``sphinx-build -W docs site`` makes it of these pages, with [docs] installed."""

from __future__ import annotations

from pytest_fargate_sandbox.leaves.names import VERSION

project = "pytest-fargate-sandbox"
author = "The pytest-fargate-sandbox developers"
release = version = VERSION
html_title = f"{project} {release}"
html_theme = "furo"
html_show_copyright = False
html_show_sourcelink = False
extensions = ["myst_parser"]
myst_heading_anchors = 3
"""Links go to headings by the names that they have on any page of Markdown."""
