"""The options as they were said, and where.

A value comes from the first of: command line, environment, ini, ``--fargate-config FILE``, and the table
``[tool.pytest_fargate_sandbox]`` of pyproject.toml. The two files hold the fields of ``EcsFargateConfig`` and options
that concern the run, by the words of ``vocabulary``. Where each value came from is remembered.
"""

from __future__ import annotations

import os
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.fargate_rules import size_with
from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS, TABLE, Option
from pytest_fargate_sandbox.plugin.settings.option_values import checked
from pytest_fargate_sandbox.plugin.settings.run_settings import Settings, refuse_contradictions

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    import pytest

    from pytest_fargate_sandbox.plugin.settings.config_files import Setting

_SIZE = ("cpu", "memory")


def declare(parser: pytest.Parser) -> None:
    """Add every option to the command line and the ini."""
    group = parser.getgroup("fargate", "sandboxes on AWS Fargate (pytest-fargate-sandbox)")
    for option in TABLE:
        if option.kind == "bool":
            group.addoption(option.flag, dest=option.ini, action="store_true", default=None, help=_help(option))
        elif option.bare:
            bare = {"action": "store_const", "const": option.bare}
            group.addoption(option.flag, dest=option.ini, default=None, help=_help(option), **bare)
        else:
            # Not as argparse's choices: what is none of them is told in our sentence, wherever it was said.
            choices = ",".join([*option.choices, *option.synonyms])
            value = f"{{{choices}}}" if choices else option.metavar
            group.addoption(option.flag, dest=option.ini, default=None, help=_help(option), metavar=value)
        parser.addini(option.ini, f"{option.flag}, from here", type=option.kind, default=None)


def resolve(config: pytest.Config, environ: Mapping[str, str] = os.environ) -> Settings:
    """Read every source; whatever is wrong is a ``pytest.UsageError``."""
    return settled(partial(_spoken, config, environ=environ), partial(_files, config), config.invocation_params.dir)


def settled(
    spoken: Callable[[Option], Iterable[tuple[Any, str]]],
    files: Callable[[str | None], Iterable[Setting]],
    directory: Path,
) -> Settings:
    """``spoken`` gives what is said of an option, first what counts; ``files`` what stands in files, of which the
    option ``config`` may name one. Relative paths start from ``directory``."""
    values: dict[str, Any] = {}
    sources: dict[str, str] = {}
    for option in TABLE:
        for value, source in spoken(option):
            values[option.key] = checked(option, value, source)
            sources[option.key] = source
            break
    for key, value, source in files(values.get("run.config")):
        if key not in values:
            values[key], sources[key] = value, source
    values.update(_size(values))
    if values.get("ssm_config"):  # its parameter may name the cluster
        values.setdefault("cluster", "")
    for option in TABLE:
        if option.default is not None and option.sets not in _SIZE:
            values.setdefault(option.key, option.default)
    settings = Settings(
        config={key: value for key, value in values.items() if not key.startswith("run.")},
        run={option.name: values.get(option.key) for option in TABLE if not option.sets},
        sources=sources,
    )
    refuse_contradictions(settings)
    if settings.run["engine"] is None:
        return settings
    from pytest_fargate_sandbox.plugin.settings.engine_choice import running_engine

    engine = running_engine(directory / Path(settings.run["engine"]).expanduser())
    return settings._replace(run={**settings.run, "engine": engine})


def said_early(config: pytest.Config, name: str, environ: Mapping[str, str] = os.environ) -> Any:
    """What somebody says of a run option, before there are settings; None: nobody does."""
    option = OPTIONS[name]
    for value, source in _spoken(config, option, environ):
        return checked(option, value, source)
    path = next((value for value, _ in _spoken(config, OPTIONS["config"], environ)), None)
    return next((value for key, value, _ in _files(config, path) if key == option.key), None)


def _size(said: Mapping[str, Any]) -> dict[str, Any]:
    """One that is not said is left to what all share, where that is in an SSM parameter."""
    if said.get("ssm_config"):
        return {}
    cpu, memory = size_with(said.get("cpu"), said.get("memory"), (OPTIONS["cpu"].default, OPTIONS["memory"].default))
    return {"cpu": cpu, "memory": memory}


def _help(option: Option) -> str:
    text = option.meaning.replace("`", "'").replace("%", "%%")
    return f"{text[0].upper()}{text[1:]} [{option.variable}]"


def _spoken(
    config: pytest.Config, option: Option, environ: Mapping[str, str] = os.environ
) -> Iterator[tuple[Any, str]]:
    given = config.getoption(option.ini, default=None)
    if given is None:  # before pytest has parsed all of the command line
        given = getattr(config.known_args_namespace, option.ini, None)
    if given is not None:
        yield given, option.flag
    yield from said_by(environ, option)
    written = _ini(config).get(option.ini)
    if written is not None:
        file = config.inipath.name if config.inipath else "the ini"
        yield written.value, f"-o {option.ini}" if written.origin == "override" else f"{option.ini} in {file}"


def said_by(environ: Mapping[str, str], option: Option) -> Iterator[tuple[str, str]]:
    if environ.get(option.variable):
        yield environ[option.variable], option.variable


def _ini(config: pytest.Config) -> Any:
    """As it was written: ``getini`` refuses "60" for a number in one kind of file, and 60 for a word in another."""
    # pytest 9.2 has another name for it: https://github.com/pytest-dev/pytest/blob/9.2.0/src/_pytest/config/__init__.py
    return config._inicfg if hasattr(config, "_inicfg") else config.inicfg


def _files(config: pytest.Config, path: str | None) -> Iterator[Setting]:
    if path:
        from pytest_fargate_sandbox.plugin.settings import config_files

        yield from config_files.settings_in(config.invocation_params.dir / path)
    yield from of_project(config.rootpath)


def of_project(directory: Path) -> Iterator[Setting]:
    """What our table in the project's pyproject.toml says, if it has one."""
    pyproject = directory / "pyproject.toml"
    if pyproject.is_file() and b"fargate" in pyproject.read_bytes().lower():
        from pytest_fargate_sandbox.plugin.settings import config_files

        yield from config_files.settings_in(pyproject)
