"""``fargate_prepared``: sandboxes that begin with what a preparation has left, which was done once."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from pytest_fargate_sandbox.leaves.call_arguments import check_globs, remote_path, wrong_argument
from pytest_fargate_sandbox.leaves.errors import ConfigError, SandboxError
from pytest_fargate_sandbox.plugin import made_of, outcomes
from pytest_fargate_sandbox.plugin.ahead import AHEAD
from pytest_fargate_sandbox.plugin.settings import marker
from pytest_fargate_sandbox.run.prepared_trees import PreparedTrees

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from pytest_fargate_sandbox.leaves.config import EcsFargateConfig
    from pytest_fargate_sandbox.plugin.leases import Leases
    from pytest_fargate_sandbox.run.sandbox_spec import SandboxSpec
    from pytest_fargate_sandbox.sandbox.sandbox_protocol import Sandbox

    Prepare = Callable[[Any], object] | str | Sequence[str]

_OF_THE_TEST = ("files", "snapshot", "allowed_changes", "artifacts", "artifacts_when", "keep", "retries", "network")
"""Keys of a test's marks that say nothing of what is prepared."""
_OF_THE_PREPARATION = ("files", "snapshot")
"""Keys that, where the preparation is named, are of it alone: what they bring is in its snapshot."""


class Prepared:
    """What ``fargate_prepared`` gives to one test."""

    def __init__(
        self, leases: Leases, request: Any, item: pytest.Item, config: EcsFargateConfig, keys: Mapping[str, Any]
    ) -> None:
        """``keys`` are of the test's marks."""
        self._leases, self._request, self._item = leases, request, item
        self._config, self._keys = config, keys

    def __call__(
        self,
        name: str,
        prepare: Prepare | None = None,
        *,
        path: str = ".",
        exclude: Sequence[str] = (),
        made_from: Sequence[str | Path] = (),
        **keys: Any,
    ) -> Any:
        """A started sandbox in whose directory ``path`` is what ``prepare(sandbox)``, or that command, has left there.

        Without ``prepare`` it takes it as a decorator. ``made_from`` are files and directories, relative to the test's
        file, that it depends on beside its own source. ``keys`` are the marker's.
        """
        if not isinstance(name, str) or not name:
            raise wrong_argument(
                "name", name, "what is prepared by a name, as a string: fargate_prepared(name, prepare)"
            )
        if not (prepare is None or callable(prepare) or _is_command(prepare)):
            raise wrong_argument("prepare", prepare, "a function that takes the sandbox, or a command")
        path = remote_path("path", path)
        check_globs("exclude", exclude)
        if prepare is None:
            return partial(self, name, path=path, exclude=exclude, made_from=made_from, **keys)
        where = f"fargate_prepared({name!r})"
        own = marker.checked((), keys, where)
        wanted = {key: value for key, value in self._keys.items() if key not in _OF_THE_TEST}
        spec = self._leases.wish(self._item, self._config, marker.overlay(wanted, own)).spec
        of_the_test = {key: value for key, value in own.items() if key not in _OF_THE_PREPARATION}
        self._tell_ahead(of_the_test)
        parts = {
            "its task": made_of.task(spec.config),
            "slot=": str(bool(spec.slots)),
            "path and exclude": repr((path, list(exclude))),
            "prepare": made_of.preparation(prepare, self._item.config.rootpath),
            "files=": made_of.files(spec.files),
            "snapshot=": made_of.files(spec.snapshots),
            "made_from": made_of.files(self._named(made_from, where)),
        }
        make = partial(self._prepare, name, prepare, spec, path, list(exclude))
        snapshot = PreparedTrees(self._leases.run.directory).snapshot(name, parts, make)
        test_keys = marker.overlay(dict(self._keys), of_the_test)
        sandbox: Sandbox = self._leases.factory(
            self._request, self._config, marker.overlay(test_keys, {"snapshot": {path: snapshot}})
        )()
        return sandbox

    def _tell_ahead(self, keys: dict[str, Any]) -> None:
        """While the first of them is being prepared, sandboxes for the others can be launched."""
        running = self._leases.setups.running()
        if running:
            self._item.config.stash[AHEAD].learn_prepared(running[-1]._fixturedef, self._config, keys)

    def _named(self, made_from: Sequence[str | Path], where: str) -> dict[str, Path]:
        if isinstance(made_from, (str, Path)):
            made_from = [made_from]
        here = self._item.path.parent
        for each in made_from:
            if not (here / each).exists():
                raise ConfigError(
                    f"{where}: made_from names {each}, and there is none at {here / each}",
                    key="made_from",
                    value=str(each),
                )
        return {str(each): here / each for each in made_from}

    def _prepare(
        self, name: str, prepare: Prepare, spec: SandboxSpec, path: str, exclude: list[str], target: Path
    ) -> None:
        tries = 1 + int(self._leases.settings.run["infra_retries"])
        for left in reversed(range(tries)):
            try:
                return self._try(prepare, spec, path, exclude, target)
            except SandboxError as error:  # noqa: PERF203
                if left and outcomes.infrastructure_error(error) is not None:
                    continue
                error.message = f"preparing {name!r}: {error.message}"
                error.args = (error.message,)
                raise
            except pytest.fail.Exception as error:  # which is no Exception, and would not be everybody's
                raise SandboxError(f"preparing {name!r}: {error.msg}") from error
            except Exception as error:
                raise SandboxError(f"preparing {name!r}: {type(error).__name__}: {error}") from error
        raise AssertionError("the last try returns, or raises")

    def _try(self, prepare: Prepare, spec: SandboxSpec, path: str, exclude: list[str], target: Path) -> None:
        lease = self._leases.pool.lease(spec, keep="never", test=self._item.nodeid)
        try:
            if callable(prepare):
                prepare(lease.sandbox)
            else:
                lease.sandbox.exec(prepare, check=True)
            lease.sandbox.save(path, exclude=exclude, to=target)
        finally:
            lease.end(may_keep=False)


def _is_command(given: Any) -> bool:
    words = [given] if isinstance(given, str) else given
    return isinstance(words, (list, tuple)) and bool(words) and all(isinstance(word, str) and word for word in words)
