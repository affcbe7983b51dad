"""What the engine tells a holder about one container: everything looked up, only paths and values left."""

from __future__ import annotations

from dataclasses import asdict, dataclass, fields
from typing import Any

DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
"""Docker's, for an image that says nothing."""
HOST_ROOT = "/"
"""Among the directories of an image: this machine's own root."""

NOTHING = "nothing"
"""An empty directory beside the host's own layer: an overlay has two layers at least."""


@dataclass(frozen=True)
class Bind:
    """A directory or file of the host that shows at ``target`` in the container."""

    source: str
    target: str
    read_only: bool = True
    beneath: tuple[str, ...] = ()
    """Directories of the image that lie over it, upper first."""
    as_nobody: bool = False
    """As the host's user ``nobody`` sees it, and not at all where he does not."""
    needed: bool = False
    """As it is, then."""
    overlaid: bool = False
    """Through an overlay, where the kernel lets us: a socket, a pipe or a lock in it is not the host's then."""
    is_cover: bool = False
    """It only hides what is there: where that has gone since it was found, it is left out."""


@dataclass(frozen=True)
class ContainerPlan:
    """One container. ``layers`` are the directories of its image, upper first; none for the built-in sidecar.

    ``/`` among them stands for ``host_layers``.
    """

    name: str
    directory: str
    layers: tuple[str, ...]
    host_layers: tuple[str, ...]
    binds: tuple[Bind, ...]
    argv: tuple[str, ...]
    environment: dict[str, str]
    host_name: str
    hosts_file: str
    """The task's, which shows in each of its containers."""
    resolver: str
    """The text of its /etc/resolv.conf."""
    search_path: str
    rootless: bool
    working_directory: str | None = None
    user: str | None = None
    host_as_nobody: bool = False
    """Whether ``/`` among the host's layers is read as ``nobody`` of the host reads it."""
    read_only_root: bool = False
    has_way_out: bool = False
    """Then it gets no raw sockets: they know no routes, and some routes are closed."""
    ulimits: tuple[tuple[str, int, int], ...] = ()
    cgroups: tuple[str, ...] = ()
    sidecar_volume: str | None = None
    """Set for the built-in sidecar: where in its root the volume is that it shares."""

    def to_message(self) -> dict[str, Any]:
        return asdict(self)

    @classmethod
    def from_message(cls, message: dict[str, Any]) -> ContainerPlan:
        values = {field.name: message[field.name] for field in fields(cls)}
        values["binds"] = tuple(Bind(**bind | {"beneath": tuple(bind["beneath"])}) for bind in message["binds"])
        for name in ("layers", "host_layers", "argv", "cgroups"):
            values[name] = tuple(values[name])
        values["ulimits"] = tuple((name, soft, hard) for name, soft, hard in message["ulimits"])
        return cls(**values)
