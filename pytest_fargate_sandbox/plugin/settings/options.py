"""The options as they were said, and where.

A value comes from the first of: command line, environment, ini, ``--fargate-config FILE``, and the table
``[tool.pytest_fargate_sandbox]`` of pyproject.toml. The two files hold the fields of ``EcsFargateConfig`` and options
that concern the run, by the words of ``vocabulary``. Where each value came from is remembered.
"""

from __future__ import annotations

import os
import shlex
from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

from pytest_fargate_sandbox.leaves.fargate_rules import size_with
from pytest_fargate_sandbox.plugin.settings import vocabulary
from pytest_fargate_sandbox.plugin.settings.option_table import OPTIONS, TABLE, Option
from pytest_fargate_sandbox.sandbox.modes.mode_registry import mode_named

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from pytest_fargate_sandbox.plugin.settings.config_files import Setting

_SIZE = ("cpu", "memory")
_GRADES = ("submissions", "regrade")


class Settings(NamedTuple):
    """What was asked for, and where. ``config`` is the mapping of ``EcsFargateConfig``; ``run`` the rest."""

    config: Mapping[str, Any]
    run: Mapping[str, Any]
    sources: Mapping[str, str]

    @property
    def configured(self) -> bool:
        return bool(self.sources)

    def describe(self) -> str:
        """``cluster=bench (--fargate-cluster), region=eu-west-1 (FARGATE_REGION)``."""
        values = {**self.config, **{f"run.{name}": value for name, value in self.run.items()}}
        shown = {"cluster": self.sources.get("cluster", "default")} if self.config["cluster"] else {}
        said = ", ".join(
            f"{vocabulary.word_for(key.removeprefix('run.'))}={_short(values[key])} ({source})"
            for key, source in {**shown, **self.sources}.items()
        )
        return f"{said}; {_READABLE_ROLE}" if self.by_sessions else said

    @property
    def by_sessions(self) -> bool:
        """Whether the Session Manager is the way in, for tests that don't say."""
        asked = self.config.get("ecs_exec") or self.config.get("connect_via") == "ssm"
        return bool(asked or self.run.get("sidecar_mode") == "ecs-exec")


_READABLE_ROLE = "through the Session Manager: code in the sandboxes can read the credentials of their task role"

SETTINGS: pytest.StashKey[Settings] = pytest.StashKey()


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
    _refuse_contradictions(settings)
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


def table() -> str:
    """The table of options, for the docs."""
    rows = ["| option | environment | ini | meaning |", "| --- | --- | --- | --- |"]
    for option in TABLE:
        usage = option.usage.replace("|", "\\|")
        rows.append(f"| `{usage}` | `{option.variable}` | `{option.ini}` | {_meaning(option)} |")
    return "\n".join(rows) + "\n"


def _meaning(option: Option) -> str:
    said = ",".join(option.default) if isinstance(option.default, tuple) else option.default
    default = f" (default: `{said}`)" if said not in (None, False) else ""
    return option.help + default


def _help(option: Option) -> str:
    text = _meaning(option).replace("`", "'").replace("%", "%%")
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


def checked(option: Option, value: Any, source: str) -> Any:
    """``value`` as the option's kind wants it; command line and environment have strings only."""
    if option.kind == "args":
        return _as_list(value, source)
    if isinstance(value, (list, Mapping)):
        raise _wrong(source, value, "a single value")
    if option.kind == "bool":
        return _as_bool(value, source)
    if option.kind == "int":
        return _as_int(option, value, source)
    text = option.synonyms.get(str(value), str(value))
    if option.choices and text not in option.choices:
        from pytest_fargate_sandbox.leaves.plain_values import nearest

        raise _wrong(source, value, f"one of {', '.join(option.choices)}{nearest(text, list(option.choices))}")
    if not text:
        raise _wrong(source, value, f"a value ({option.metavar})")
    return text


def _as_list(value: Any, source: str) -> list[str]:
    try:
        return [str(each) for each in (value if isinstance(value, list) else shlex.split(str(value).replace(",", " ")))]
    except ValueError as error:
        raise _wrong(source, value, f"a list ({error})") from None


def _as_int(option: Option, value: Any, source: str) -> int | str:
    if option.word and value == option.word:
        return option.word
    try:
        number = int(str(value))  # of a string, since int(2.5) and int(True) are numbers as well
    except ValueError:
        raise _wrong(source, value, f"a whole number{f' or {option.word}' if option.word else ''}") from None
    if number < option.least:
        raise _wrong(source, value, f"{option.least} or more")
    if number > option.most:
        raise _wrong(source, value, f"{option.most} or less")
    return number


def _as_bool(value: Any, source: str) -> bool:
    from pytest_fargate_sandbox.leaves.plain_values import truth_of

    truth = truth_of(str(value))
    if truth is None:
        raise _wrong(source, value, "true or false")
    return truth


def _wrong(source: str, value: Any, expected: str) -> pytest.UsageError:
    name, _, where = source.partition(" in ")
    return pytest.UsageError(f"{name}={value}{f' in {where}' if where else ''}: expected {expected}")


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


def _refuse_contradictions(settings: Settings) -> None:
    """Options that exclude each other, and a mapping that ``EcsFargateConfig`` refuses, before the first test."""
    sources = settings.sources
    if cluster := settings.config["cluster"]:
        elsewhere, what = sources.get("cluster", ""), repr(cluster)
    elif "ssm_config" in sources:
        elsewhere, what = f"ssm_config ({sources['ssm_config']})", "what that parameter says"
    else:
        raise pytest.UsageError(
            f"cluster ({sources['cluster']}) is empty: name an ECS cluster, or leave it out for `local`"
        )
    for option in ("run.runner", "run.engine"):
        if option in sources and cluster != "local":
            raise pytest.UsageError(
                f"{sources[option]} and {elsewhere} exclude each other: it is about the embedded engine "
                f"(cluster `local`), and the cluster is {what}"
            )
    if "run.runner" in sources and "run.engine" in sources:
        raise pytest.UsageError(
            f"{sources['run.runner']} and {sources['run.engine']} exclude each other: an engine that runs has its "
            "runner already"
        )
    if settings.config.get("image_template") and settings.config.get("environment_dir"):
        raise pytest.UsageError(
            f"image ({sources['image_template']}) and environment ({sources['environment_dir']}) exclude each other: "
            "name an image, or a directory to build one from"
        )
    _refuse_work_for_no_task(settings)
    if settings.run["reuse"] is not None:
        _refuse_bad_name(settings)
    if any(not key.startswith("run.") for key in sources):
        base_config(settings)


def _refuse_work_for_no_task(settings: Settings) -> None:
    for name in _GRADES:  # an ini may say these for the runs that have tasks
        if settings.sources.get(f"run.{name}", "").startswith("--") and not settings.run["tasks"]:
            raise pytest.UsageError(f"--fargate-{name} takes --fargate-tasks: which tasks the work is graded by")


def _refuse_bad_name(settings: Settings) -> None:
    from pytest_fargate_sandbox.leaves.errors import ConfigError
    from pytest_fargate_sandbox.records.reuse_book import refuse_bad_name

    try:
        refuse_bad_name(settings.run["reuse"])
    except ConfigError as error:
        raise pytest.UsageError(f"{settings.sources['run.reuse']}: {error}") from None


def base_config(settings: Settings) -> Any:
    """The ``EcsFargateConfig`` that the options ask for."""
    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.leaves.errors import ConfigError

    mapping = dict(settings.config)
    mode_named(settings.run["sidecar_mode"]).ask_for(mapping, as_default=True)
    try:
        return EcsFargateConfig.from_dict(mapping)
    except ConfigError as error:
        key = str(error.context.get("key", "")).partition(".")[0]
        said = settings.sources.get(key)
        raise pytest.UsageError(f"{vocabulary.by_word(str(error))}{f' ({said})' if said else ''}") from None


def _short(value: Any) -> str:
    """Of a mapping the names only: an environment may hold secrets."""
    return ",".join(map(str, value)) if isinstance(value, (list, tuple, Mapping)) else str(value)
