"""What a preparation is made of, as text: when that changes, it is to be done again."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import inspect
import os
import types
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import ConfigError
from pytest_fargate_sandbox.leaves.names import HOST_IMAGE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig

_TASK = (
    "task_definition",
    "container_name",
    "user",
    "runtime",
    "cpu_architecture",
    "extra_env",
)
"""Of the configuration, what may show in a tree."""

_PLAIN = (str, bytes, int, float, complex, bool, type(None), Path)
_OS_RELEASE = Path("/etc/os-release")


def task(config: EcsFargateConfig) -> str:
    """Of what task its sandbox is."""
    return _digest("".join(f"{name}={getattr(config, name)!r}\n" for name in _TASK) + _image(config))


def _image(config: EcsFargateConfig) -> str:
    if config.environment_dir:
        from pytest_fargate_sandbox.providers.images.content_tag import build_tag

        return build_tag(config.environment_dir, "image", config.cpu_architecture)
    image = config.image_template or ""
    if image in ("", HOST_IMAGE) and _OS_RELEASE.is_file():  # the engine's is this machine
        return f"{image}\n{_OS_RELEASE.read_text(errors='replace')}"
    return image


def files(paths: Mapping[str, Path]) -> str:
    """Files and directories by the names that they are given: where each is, what is in it, its mode."""
    digest = hashlib.sha256()
    for name in sorted(paths):
        for file in sorted(_all(paths[name])):
            relative = os.path.relpath(file, paths[name])
            digest.update(f"{name}\0{relative}\0{file.lstat().st_mode:o}\0".encode("utf-8", "surrogateescape"))
            if file.is_symlink():
                digest.update(os.fsencode(file.readlink()))
            elif file.is_file():
                digest.update(hashlib.sha256(file.read_bytes()).digest())
    return digest.hexdigest()


def _all(path: Path) -> Iterator[Path]:
    yield path
    if path.is_dir():
        yield from path.rglob("*")


def preparation(prepare: Any, root: Path) -> str:
    """A command, or the source of a function with that of what it uses of the project below ``root``."""
    if isinstance(prepare, (str, list, tuple)):
        return _digest(repr(prepare))
    return _digest("\n".join(_sources(prepare, root, set())))


def _sources(thing: Any, root: Path, seen: set[int]) -> Iterator[str]:
    if id(thing) in seen:
        return
    seen.add(id(thing))
    if isinstance(thing, functools.partial):
        yield from _sources(thing.func, root, seen)
        for value in (*thing.args, *(thing.keywords[name] for name in sorted(thing.keywords))):
            yield from _used(value, root, seen)
        return
    function = inspect.unwrap(getattr(thing, "__func__", thing))
    try:
        yield inspect.getsource(function)
    except (OSError, TypeError):
        raise ConfigError(
            f"fargate_prepared: {thing!r} has no source by which a changed preparation is known: give a function of a "
            "file, or a command",
            key="prepare",
            value=repr(thing),
        ) from None
    if isinstance(function, types.FunctionType):
        for name, value in sorted(_named_in(function).items()):
            yield name
            yield from _used(value, root, seen)


def _named_in(function: types.FunctionType) -> dict[str, Any]:
    """What it takes from its module, from the function around it, and as defaults."""
    found = {name: function.__globals__[name] for name in _names(function.__code__) if name in function.__globals__}
    for name, cell in zip(function.__code__.co_freevars, function.__closure__ or (), strict=False):
        with contextlib.suppress(ValueError):  # not filled yet
            found[name] = cell.cell_contents
    found.update({f"default {index}": value for index, value in enumerate(function.__defaults__ or ())})
    found.update({f"default {name}": value for name, value in (function.__kwdefaults__ or {}).items()})
    return found


def _names(code: types.CodeType) -> Iterator[str]:
    yield from code.co_names
    for inner in code.co_consts:
        if isinstance(inner, types.CodeType):
            yield from _names(inner)


def _used(value: Any, root: Path, seen: set[int]) -> Iterator[str]:
    """Values that are what they look like, and code of the project. The rest is the project's to tell of."""
    if _is_plain(value):
        yield repr(value)
    elif isinstance(value, types.ModuleType):
        if _is_below(value, root):
            yield inspect.getsource(value)
    elif isinstance(value, (types.FunctionType, types.MethodType, type, functools.partial)) and _is_below(value, root):
        yield from _sources(value, root, seen)


def _is_plain(value: Any) -> bool:
    if isinstance(value, dict):
        return all(_is_plain(each) for pair in value.items() for each in pair)
    if isinstance(value, (list, tuple)):
        return all(map(_is_plain, value))
    return isinstance(value, _PLAIN)


def _is_below(value: Any, root: Path) -> bool:
    if isinstance(value, functools.partial):
        return True
    try:
        file = Path(inspect.getsourcefile(value) or "/")
    except TypeError:
        return False
    return file.is_relative_to(root) and "site-packages" not in file.parts


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode("utf-8", "surrogateescape")).hexdigest()
