"""The engine as a program: from its options to its exit code."""

from __future__ import annotations

import gc
import os
import shlex
import signal
import sys
import threading
import traceback
from functools import cache
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.local.ports_and_runner import open_ports_and_runner
from pytest_fargate_sandbox.local.runners.runner_choice import NoRunner
from pytest_fargate_sandbox.local.state_directory import StateDirectory

if TYPE_CHECKING:
    from pytest_fargate_sandbox.local.embedded_engine import Engine
    from pytest_fargate_sandbox.local.engine_options import EngineOptions

_LOOK_SEC = 2.0
_OF_MOTO = {
    "MOTO_EC2_LOAD_DEFAULT_AMIS": "false",
    "MOTO_DISABLE_GLOBAL_CORS": "true",
    # What AWS has in each account, and roles are made of; see managed_policies.
    "MOTO_IAM_LOAD_MANAGED_POLICIES": "true",
}
_ENDING_SIGNALS = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def run(options: EngineOptions, *, stays: bool = False) -> int:
    """Serve until a signal, or with a state directory until the last user is gone, unless it ``stays`` for the next.

    Returns the exit code.
    """
    # Not an Event or a queue: Python runs handlers in the main thread, and where the kernel gives a signal to another
    # one, nothing wakes it. The byte is written wherever the signal is met.
    ended, end = os.pipe()
    os.set_blocking(end, False)
    signal.set_wakeup_fd(end)
    for number in _ENDING_SIGNALS:
        signal.signal(number, lambda *_: None)
    state = None
    try:
        state = None if options.state is None else StateDirectory(options.state)
        engine = _start(options)
    except Exception as error:
        _complain(error, state)
        return 1
    if state is not None:
        state.publish(engine.facts())
    if state is None or stays:
        _print_exports(engine)
    else:
        threading.Thread(target=_wait_for_users, args=(engine, state, end), name="users", daemon=True).start()
    os.read(ended, 1)
    if state is not None:
        state.withdraw()
    engine.close()
    return 0


def _start(options: EngineOptions) -> Engine:
    # moto's models make hundreds of thousands of objects that live as long as we do: looking through them again and
    # again while they are made takes a third of the time.
    gc.disable()
    forget_the_users_account()
    ports_and_runner = open_ports_and_runner(options)
    engine = loaded_engine()(options, ports_and_runner)
    gc.freeze()
    gc.enable()
    return engine


@cache
def loaded_engine() -> type[Engine]:
    """moto, and what we make of it; for a process that has forgotten the user's account."""
    from pytest_fargate_sandbox.local.left_out_of_moto import moto_without_mocks

    with moto_without_mocks():
        from pytest_fargate_sandbox.local.model_files import read_models_once

        read_models_once()
        from pytest_fargate_sandbox.local.embedded_engine import Engine

        return Engine


def forget_the_users_account() -> None:
    """What the shell says of AWS, a profile that is not there for one, is about an account that is not ours."""
    for name in [name for name in os.environ if name.startswith(("AWS_", "MOTO_"))]:
        del os.environ[name]
    os.environ.update(_OF_MOTO, AWS_CONFIG_FILE=os.devnull, AWS_SHARED_CREDENTIALS_FILE=os.devnull)


def _wait_for_users(engine: Engine, state: StateDirectory, end: int) -> None:
    while True:
        state.wait_for_last_user()
        kept = engine.kept_tasks()
        engine.stop_tasks_but(kept)
        if not kept or not state.is_there:
            os.write(end, b".")
            return
        state.admit_users()
        for task in kept:
            while state.is_there and not task.wait_until_stopped(_LOOK_SEC):
                pass


def _print_exports(engine: Engine) -> None:
    facts = engine.facts()
    exports = {
        "AWS_ENDPOINT_URL": facts["endpoint_url"],
        "AWS_REGION": facts["region"],
        "AWS_DEFAULT_REGION": facts["region"],
        "AWS_ACCESS_KEY_ID": facts["access_key_id"],
        "AWS_SECRET_ACCESS_KEY": facts["secret_access_key"],
    }
    for name, value in exports.items():
        print(f"export {name}={shlex.quote(str(value))}")
    print(
        f"# {facts['runner']} runner; clusters: local, default; subnet {facts['subnets'][0]}, one that leads to the "
        f"internet {next(iter(facts['public_subnets']), 'none: ' + facts['no_way_out'])}, security group "
        f"{facts['security_groups'][0]}, execution role {facts['execution_role_arn']}. Ctrl-C ends it.",
        flush=True,
    )


def _complain(error: Exception, state: StateDirectory | None) -> None:
    if isinstance(error, ModuleNotFoundError):
        text = f"{error}: the engine needs what `pip install 'pytest-fargate-sandbox[local]'` brings"
    elif isinstance(error, (OSError, NoRunner)):
        text = str(error)
    else:
        text = traceback.format_exc()
    print(text, file=sys.stderr)
    if state is not None:
        state.complain(text)
