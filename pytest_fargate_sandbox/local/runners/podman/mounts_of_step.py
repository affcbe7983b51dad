"""Refuses a step of a build that would have a part of this machine, before the runtime is told of it.

And gives it caches that are its build's alone, and empty at first, as on CodeBuild: builders have one for all builds of
a user, in which who has written a Dockerfile could leave what another's installs.

Where a Dockerfile has ``RUN --mount``, older builders follow links and ``..`` out of the context, out of an earlier
stage and out of their caches, and mount what is there, to be written: the whole of the host, for who writes
``source=`` so (CVE-2024-1753, CVE-2024-9675; Debian 12 has such a one). Variables and ``ONBUILD`` of a base image can
say it as well, so it is not looked for in the Dockerfile: where a mount really comes from stands in the kernel's table.

Nor has a step this machine's network, which newer builders give to ``RUN --network=host``, and CodeBuild's does not.

Started as ``python mounts_of_step.py BUNDLE NETWORK CONTEXT TEMPORARY STORE...`` in the builder's own mounts; NETWORK
is ``own``, unless podman's user gives this machine's to all containers. It imports nothing of ours.
"""

from __future__ import annotations

import json
import os
import re
import stat
import sys
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

_OF_A_CONTAINER = re.compile(r"(overlay-containers|vfs-containers|vfs/dir)/[^/]+(/.*)?")
"""In a store: what is of one container, by a name that nobody guesses."""
_OF_A_BUILDER = re.compile(r"buildah[^/]*/[^/]+(/.*)?")
"""In the directory for temporary files: of one step, or one cache, and not all of them."""
_CACHE = re.compile(r"buildah-cache[^/]*/[^/]+(/.*)?")
_ANYTHING = re.compile(r".*", re.DOTALL)
_NOWHERE = ".."
_SYSFS = "/sys"
"""Which who is not root cannot mount anew."""


class _Origin(NamedTuple):
    """A device, and a path on it: the same for a place under whichever name it is mounted."""

    device: str
    path: str


class _Mount(NamedTuple):
    """``layers``: what an overlay is made of."""

    point: str
    origin: _Origin
    layers: tuple[str, ...]


OWN_NETWORK, ANY_NETWORK = "own", "any"


def main(bundle: str, network: str, context: str, temporary: str, *stores: str) -> int:
    with open(os.path.join(bundle, "config.json"), "r+", encoding="utf-8") as file:  # noqa: PTH118, PTH123
        config = json.load(file)
        if network == OWN_NETWORK and not any(each["type"] == "network" for each in config["linux"]["namespaces"]):
            print("--network=host is not allowed: no step has the network of this machine", file=sys.stderr)
            return 1
        if not _look(config.get("mounts") or (), bundle, context, temporary, stores):
            return 1
        file.seek(0)
        json.dump(config, file)
        file.truncate()
    return 0


def _look(mounts: Sequence[dict[str, Any]], bundle: str, context: str, temporary: str, stores: Sequence[str]) -> bool:
    """Whether the step may have them, as they are then."""
    places = [(bundle, _ANYTHING), (context, _ANYTHING), (temporary, _OF_A_BUILDER)]
    places += [(store, _OF_A_CONTAINER) for store in stores]
    table = _Table(places, stores)
    for mount in mounts:
        for source in _sources(mount):
            if not table.is_the_builds(source):
                print(f"{source} is a part of this machine: no step has it at {mount['destination']}", file=sys.stderr)
                return False
            cache = table.inside(source, temporary)
            if _CACHE.fullmatch(cache):
                mount["source"] = _made_like(source, os.path.join(os.path.dirname(context), cache))  # noqa: PTH118, PTH120
    return True


def _made_like(directory: str, own: str) -> str:
    if not os.path.isdir(own):  # noqa: PTH112
        os.makedirs(own)  # noqa: PTH103
        told = os.stat(directory)  # noqa: PTH116
        os.chown(own, told.st_uid, told.st_gid)
        os.chmod(own, stat.S_IMODE(told.st_mode))  # noqa: PTH101
    return own


class _Table:
    """The mounts of this process, and what of them is a build's own."""

    def __init__(self, places: Sequence[tuple[str, re.Pattern[str]]], stores: Sequence[str]) -> None:
        with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as file:  # noqa: PTH123
            self._mounts = [_mount(line) for line in file]
        self._places = places
        stages = [re.compile(re.escape(os.path.realpath(store)) + "/overlay/[^/]+/merged") for store in stores]
        self._stages = {
            each.origin.device for each in self._mounts if any(map_.fullmatch(each.point) for map_ in stages)
        }
        self._layers = {each.origin.device: each.layers for each in self._mounts}

    def is_the_builds(self, source: str, most_overlays: int = 3) -> bool:
        """It is in one of its places, or an overlay of what is, by which podman 5 lets a step write."""
        origin = self._origin(os.path.realpath(source))
        if origin.device in self._stages or any(
            rest.fullmatch(inside) for place, rest in self._places if (inside := self.inside(source, place)) != _NOWHERE
        ):
            return True
        layers = self._layers[origin.device] if most_overlays else ()
        return bool(layers) and all(self.is_the_builds(each, most_overlays - 1) for each in layers)

    def inside(self, source: str, place: str) -> str:
        """Its path from there on."""
        origin, base = (self._origin(os.path.realpath(each)) for each in (source, place))
        if origin.device != base.device or not (origin.path + "/").startswith(base.path.rstrip("/") + "/"):
            return _NOWHERE
        return os.path.relpath(origin.path, base.path)

    def _origin(self, path: str) -> _Origin:
        above = [each for each in self._mounts if path == each.point or path.startswith(each.point.rstrip("/") + "/")]
        found = max(enumerate(above), key=lambda each: (len(each[1].point), each[0]))[1]
        inside = os.path.normpath(found.origin.path + "/" + path[len(found.point.rstrip("/")) :])
        return _Origin(found.origin.device, "/" + inside.lstrip("/"))


def _mount(line: str) -> _Mount:
    """https://man7.org/linux/man-pages/man5/proc_pid_mountinfo.5.html"""
    _, _, device, root, point, *more = (
        re.sub(r"\\(\d{3})", lambda found: chr(int(found[1], 8)), word) for word in line.split()
    )
    kind, *_, options = more[more.index("-") + 1 :]
    return _Mount(point, _Origin(device, root), tuple(_layers(options.split(","))) if kind == "overlay" else ())


def _sources(mount: dict[str, Any]) -> Iterator[str]:
    """What of the builder's file system is in it."""
    options = mount.get("options") or ()
    if mount.get("type") == "overlay":
        yield from _layers(options)
    elif (mount.get("type") == "bind" or {"bind", "rbind"} & {*options}) and not (
        mount["source"] == mount["destination"] == _SYSFS
    ):
        yield mount["source"]


def _layers(options: Iterable[str]) -> Iterator[str]:
    for option in options:
        name, _, paths = option.partition("=")
        if name in ("lowerdir", "upperdir", "workdir"):
            yield from paths.split(":")


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
