"""Tests of adapters: those in a folder are run where its harness is installed, by ``tests/adapters/run``."""

from __future__ import annotations

from importlib.util import find_spec

_HARNESSES = {"harbor": "harbor", "inspect": "inspect_ai", "openai_agents": "agents"}

collect_ignore = [folder for folder, module in _HARNESSES.items() if find_spec(module) is None]
