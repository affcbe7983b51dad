"""The overlays that a container's root is made of, and the rule by which the host's own root is one of their layers.

Without a user namespace root of a container has CAP_DAC_OVERRIDE over every inode of the host. But an overlay asks
twice: whoever opens a file needs the right to it in the overlay, and *who mounted the overlay* needs it in the layer
(Permission model, Documentation/filesystems/overlayfs.rst). So the host's root is an overlay of its own, mounted with
the rights of ``nobody``, and the container's lies over it: whatever ``nobody`` of the host cannot open, enter or list,
root of a container cannot either, be it made or closed after the container began. That costs a tenth of a millisecond,
where a search of the host for such files would cost seconds and be out of date when it ends.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.runners.namespaces import linux
from pytest_fargate_sandbox.local.runners.namespaces.container_plan import HOST_ROOT, NOTHING

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.runners.namespaces.container_plan import Bind, ContainerPlan


def mount_overlay(plan: ContainerPlan, root: str) -> None:
    """The container's root, in its mount namespace but before it is entered."""
    options = f"lowerdir={_joined(_lower_layers(plan))},upperdir={_joined([plan.directory + '/upper'])}"
    options += f",workdir={_joined([plan.directory + '/work'])}"
    linux.mount("overlay", root, linux.MS_NODEV, options + (",userxattr" if plan.rootless else ""))


def copy_binds(plan: ContainerPlan) -> list[tuple[str, int]]:
    """Each target with a detached mount for it."""
    found = ((bind.target, _copy_bind(plan, bind)) for bind in plan.binds)
    return [(target, copy) for target, copy in found if copy is not None]


def _lower_layers(plan: ContainerPlan) -> list[str]:
    """The host's root has every other directory in it, which no list of layers may: beside others it is an overlay."""
    if HOST_ROOT not in plan.layers:
        return list(plan.layers)
    above = plan.layers[:-1]
    if HOST_ROOT not in plan.host_layers:
        return [*above, *plan.host_layers]
    if plan.host_as_nobody:
        return [*above, *plan.host_layers[:-1], _as_nobody(plan, "host", HOST_ROOT)]
    return [*above, _merge(plan, "host", list(plan.host_layers))] if above else list(plan.host_layers)


def _copy_bind(plan: ContainerPlan, bind: Bind) -> int | None:
    source: str | None = bind.source
    if bind.as_nobody:
        source = _seen_by_nobody(plan, bind) or (source if bind.needed else None)
    if source is None:
        return None
    if bind.beneath:
        source = _merge(plan, "merged" + bind.target.replace("/", "-"), [*bind.beneath, source])
    elif bind.overlaid:
        source = _overlaid(plan, bind)
    attributes = linux.ATTR_NODEV | (linux.ATTR_RDONLY if bind.read_only else linux.ATTR_NOSUID)
    return linux.copy_mount(source, attributes)


def _seen_by_nobody(plan: ContainerPlan, bind: Bind) -> str | None:
    """None where he may not go there, or where the file system is of a kind that no overlay takes as its layer."""
    try:
        if os.path.isdir(bind.source):  # noqa: PTH112
            return _as_nobody(plan, "seen" + bind.target.replace("/", "-"), bind.source)
        with linux.as_nobody():
            os.close(os.open(bind.source, os.O_RDONLY | os.O_CLOEXEC))
    except OSError:
        return None
    return bind.source


def _overlaid(plan: ContainerPlan, bind: Bind) -> str:
    beside = os.path.dirname(plan.host_layers[0])  # noqa: PTH120
    try:
        return _merge(plan, "over" + bind.target.replace("/", "-"), [bind.source, f"{beside}/{NOTHING}"])
    except OSError:  # the kernel takes it for no layer: mounts are below it, or two overlays already
        return bind.source


def _as_nobody(plan: ContainerPlan, name: str, directory: str) -> str:
    """Where it now is mounted: beside the host's layer, since no layer may lie within another.

    By names from here, because what lies above this directory ``nobody`` may not pass, nor what lies above a home.
    """
    beside = os.path.dirname(plan.host_layers[0])  # noqa: PTH120
    os.chdir(beside)
    os.makedirs(name, exist_ok=True)  # noqa: PTH103 - each container mounts there for itself
    if directory != HOST_ROOT:
        linux.attach_mount(linux.copy_mount(directory), name)
        directory = name
    with linux.as_nobody():
        options = f"lowerdir={NOTHING}:{_joined([directory])}"
        linux.mount("overlay", name, linux.MS_NODEV | linux.MS_RDONLY, options)
    return f"{beside}/{name}"


def _merge(plan: ContainerPlan, name: str, layers: list[str]) -> str:
    place = f"{plan.directory}/{name}"
    os.mkdir(place)  # noqa: PTH102
    options = f"lowerdir={_joined(layers)}" + (",userxattr" if plan.rootless else "")
    linux.mount("overlay", place, linux.MS_NODEV | linux.MS_RDONLY, options)
    return place


def _joined(paths: list[str]) -> str:
    escaped = (path.replace("\\", "\\\\").replace(":", "\\:").replace(",", "\\,") for path in paths)
    return ":".join(escaped)
