"""What the sandboxes of a sample are made of, as an Inspect task says it.

That is a ``FargateSandboxConfig``, a file with the same keys (YAML, TOML or JSON), a Dockerfile, or a compose file.
Where they run (cluster, subnets, roles) is no matter of a task's: ``FARGATE_*`` and pyproject.toml say it.
"""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError, field_validator, model_validator

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self

DEFAULT = "default"
_IMAGES = {"image", "environment"}


class FargateSandboxWish(BaseModel):
    """One sandbox. What is not said here is as ``FARGATE_*`` and pyproject.toml have it."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    image: str | None = None
    environment: str | None = Field(
        default=None, description="a directory with a Dockerfile, built once for its content"
    )
    env: dict[str, str] = Field(default_factory=dict)
    cpu: int | None = Field(default=None, description="CPU units; 1024 are one")
    memory: int | None = Field(default=None, description="MiB")
    storage: int | None = Field(default=None, description="GiB, 21 to 200")
    network: Literal["none", "public"] | None = None
    ttl: int | None = Field(default=None, description="seconds after which the task ends by itself")
    user: str | None = Field(
        default=None, description="whom commands and files are for; the container is root's, for tools that want that"
    )
    working_dir: str | None = Field(default=None, description="made for that user where it is not there")

    @field_validator("environment")
    @classmethod
    def _is_absolute(cls, directory: str | None) -> str | None:
        """From where the task is read, since samples run elsewhere."""
        return directory and str(Path(directory).absolute())

    @model_validator(mode="after")
    def _has_one_image(self) -> Self:
        if self.image and self.environment:
            raise ValueError(
                "image and environment exclude each other: name an image, or a directory to build one from"
            )
        return self


class FargateSandboxConfig(FargateSandboxWish):
    """A sample's sandbox, or several by name, which have in common what is said beside them."""

    sandboxes: dict[str, FargateSandboxWish] = Field(default_factory=dict)

    def __hash__(self) -> int:  # Inspect puts it into sets, and there are mappings in it
        return hash(self.model_dump_json())

    @property
    def by_name(self) -> dict[str, FargateSandboxWish]:
        """Each whole; first the one that ``sandbox()`` is."""
        shared = {name: getattr(self, name) for name in self.model_fields_set - {"sandboxes"}}
        if not self.sandboxes:
            return {DEFAULT: FargateSandboxWish(**shared)}
        names = sorted(self.sandboxes, key=lambda name: name != DEFAULT)
        return {name: _over(shared, self.sandboxes[name]) for name in names}


def _over(shared: Mapping[str, Any], own: FargateSandboxWish) -> FargateSandboxWish:
    said = {name: getattr(own, name) for name in own.model_fields_set}
    kept = {name: value for name, value in shared.items() if not (name in _IMAGES and said.keys() & _IMAGES)}
    return FargateSandboxWish(**{**kept, **said, "env": {**shared.get("env", {}), **own.env}})


def said_by(error: ValidationError) -> str:
    """In one sentence, without links: ``cpu: Input should be a valid integer``."""
    return "; ".join(
        f"{'.'.join(map(str, each['loc']))}: {each['msg']}" if each["loc"] else each["msg"] for each in error.errors()
    )
