"""Many things at once."""

from __future__ import annotations

import random
import time
from concurrent.futures import ThreadPoolExecutor

from pytest_fargate_sandbox.conformance.behaviour import Sandbox, behaviour
from pytest_fargate_sandbox.conformance.looking import MIB, same, same_bytes, scratch_there, true


# --- many at once ---------------------------------------------------------------------------------------------------
@behaviour
def a_long_command_delays_no_other(sandbox: Sandbox) -> None:
    sleeper = sandbox.spawn("sleep 60")
    start = time.monotonic()
    for _ in range(5):
        sandbox.exec("true")
    true(time.monotonic() - start < 10, "five short commands should not wait for a long one")
    sleeper.kill()


@behaviour
def many_commands_at_once_do_not_mix(sandbox: Sandbox) -> None:
    def one(number: int) -> None:
        result = sandbox.exec(f"echo out-{number}; echo err-{number} >&2; exit {number % 100}")
        seen = (result.stdout, result.stderr, result.return_code)
        same(seen, (f"out-{number}\n", f"err-{number}\n", number % 100), f"command {number}")

    with ThreadPoolExecutor(16) as pool:
        list(pool.map(one, range(200)))


@behaviour
def commands_and_files_share_the_way(sandbox: Sandbox) -> None:
    with scratch_there(sandbox) as scratch:
        content = random.Random(3).randbytes(2 * MIB)

        def one(number: int) -> None:
            sandbox.write_file(f"{scratch}/{number}", content)
            same(sandbox.exec(f"wc -c < {scratch}/{number}").stdout.strip(), str(len(content)), f"file {number}")
            same_bytes(sandbox.read_file(f"{scratch}/{number}"), content, f"file {number}")

        with ThreadPoolExecutor(8) as pool:
            list(pool.map(one, range(16)))
