"""From an image's reference to the directories that it stands for."""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.names import HOST_IMAGE, SIDECAR_REFERENCE
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import DEFAULT_PATH, HOST_ROOT
from pytest_fargate_sandbox.local.runners.namespaces.host_image import HostLayers, assembled_host, copy_on_write_host
from pytest_fargate_sandbox.local.runners.runner_contract import CannotPull

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from pytest_fargate_sandbox.local.runners.namespaces.container_plan import Bind


@dataclass(frozen=True)
class Image:
    """The directories, upper first; what of the host is bound into them; the PATH of a container that says none.

    ``/`` among the directories stands for ``host_layers``.
    """

    layers: tuple[str, ...]
    host_layers: tuple[str, ...] = ()
    host_as_nobody: bool = False
    binds: tuple[Bind, ...] = ()
    search_path: str = DEFAULT_PATH
    is_built_in_sidecar: bool = False


class ImageDirectories:
    """The references of one engine. The host's own layer is made when a task first asks for it."""

    def __init__(self, mapped: Mapping[str, Sequence[str]], layers: Path, *, rootless: bool) -> None:
        self._mapped = dict(mapped)
        self._rootless = rootless
        self._layers = layers
        self._launchers_root = ""
        self._make_host = assembled_host if rootless else copy_on_write_host
        self._lock = threading.Lock()
        self._count = 0
        self._host: tuple[tuple[int, ...], HostLayers] | None = None

    def follow(self, launcher: int) -> None:
        """Root's layers are made in a file system that only this launcher sees at that place, and that goes with it."""
        if not self._rootless:
            with self._lock:
                self._launchers_root, self._host = f"/proc/{launcher}/root", None

    def may_lack_python(self) -> bool:
        """Whether any image here is none of the host's, so that nobody knows what is in it."""
        return any(HOST_ROOT not in directories for directories in self._mapped.values())

    def find(self, reference: str) -> Image:
        if reference in self._mapped:
            return self._image_of(reference, [os.path.realpath(path) for path in self._mapped[reference]])
        if reference == SIDECAR_REFERENCE:
            return Image((), is_built_in_sidecar=True)
        if reference == HOST_IMAGE:
            return self._image_of(reference, [HOST_ROOT])
        raise CannotPull(
            f"CannotPullContainerError: pull image manifest has been retried 1 time(s): failed to resolve ref "
            f"{reference}: not found. In namespaces the embedded engine runs directories as images: map this one "
            f"(--image {reference}=DIR), or have podman or docker pull it (installed, in order, and --runner auto)."
        )

    def _image_of(self, reference: str, directories: list[str]) -> Image:
        for directory in directories:
            if not Path(directory).is_dir():
                raise CannotPull(
                    f"CannotPullContainerError: the image {reference} is mapped to {directory} (--image), "
                    "where there is no directory"
                )
        if HOST_ROOT not in directories:
            return Image(tuple(directories))
        host = self._host_layers()
        above = directories[: directories.index(HOST_ROOT)]
        return Image(
            layers=(*above, HOST_ROOT),
            host_layers=tuple(layer.removeprefix(self._launchers_root) for layer in host.directories),
            host_as_nobody=host.as_nobody,
            binds=tuple(_put_beneath(bind, above) for bind in host.binds),
            search_path=f"{host.interpreter_path}:{DEFAULT_PATH}" if host.interpreter_path else DEFAULT_PATH,
        )

    def _host_layers(self) -> HostLayers:
        """Made again when something came to stand on the host where hidden things are."""
        with self._lock:
            state = tuple(Path(path).stat().st_mtime_ns for path in ("/", "/etc", "/opt", "/var", "/var/lib"))
            if self._host is None or self._host[0] != state:
                self._count += 1
                self._host = state, self._make_host(Path(f"{self._launchers_root}{self._layers}/host-{self._count}"))
            return self._host[1]


def _put_beneath(bind: Bind, directories: list[str]) -> Bind:
    return replace(
        bind, beneath=tuple(above + bind.target for above in directories if Path(above + bind.target).is_dir())
    )
