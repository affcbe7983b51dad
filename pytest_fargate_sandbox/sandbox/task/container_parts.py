"""Parts of a container definition that several of us put in."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Mapping

Payload = dict[str, Any]
"""A definition, or a part of one, as boto3 takes it."""


def merge_environment(container: Payload, more: Mapping[str, str]) -> None:
    merged = {each["name"]: each["value"] for each in container.get("environment", [])}
    merged.update(more)
    if merged:
        container["environment"] = [{"name": name, "value": merged[name]} for name in sorted(merged)]


def add_port(container: Payload, port: int) -> None:
    mappings = container.setdefault("portMappings", [])
    if all(each.get("containerPort") != port for each in mappings):
        mappings.append({"containerPort": port, "protocol": "tcp"})
