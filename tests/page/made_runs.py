"""Records of runs that never were, line by line as the processes of a run write them, of any size."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.records.run_records import RunRecords

if TYPE_CHECKING:
    from collections.abc import Iterator

BEGAN = 1_790_000_000.0
HOSTILE = (
    "</script><script>document.title='taken'</script><img src=x onerror=alert(1)>\u2028\x1b[2J\x1b]52;c;aGk=\x07"
    "\udcff\ud800 \u202egnp.exe"
)
"""What a sandbox may say: markup, an end of script, escapes, half a character."""

_ARN = "arn:aws:ecs:eu-west-1:123456789012:task/bench/"
_RECORDING = [
    {"version": 2, "width": 40, "height": 6, "timestamp": 1},
    [0.1, "o", "$ "],
    [0.5, "o", "make\r\n\x1b[31mred\x1b[0m </pre><script>document.title='taken'</script>\r\n"],
    [9.0, "o", "\x1b[2Jlast \x1b[1;7minverse\x1b[m"],
]


def made_run(
    run_id: str, tests: int, *, workers: int = 4, ended: bool = True, hostile: str = "", failing: int = 10
) -> RunRecords:
    """Every ``failing``-th test fails, with a story; some machines are prelaunched, and some are unused."""
    records = RunRecords(run_id)
    records.directory.mkdir(mode=0o700)
    dice = random.Random(tests)
    lines, machines = (
        [_line("run", BEGAN, version=1, began=BEGAN, title="bench", cluster="bench", max_tasks=workers + 2)],
        [],
    )
    free = [BEGAN + 1.0] * workers
    for number in range(tests):
        worker = min(range(workers), key=lambda each: free[each])
        at, test = free[worker], f"tests/test_tasks.py::test_{number % 40}[{number}{hostile}]"
        called = at + dice.uniform(2, 6)
        ended_at = called + dice.lognormvariate(1, 0.8)
        free[worker] = ended_at + 1.0
        machines += _machine(number, test, f"gw{worker}", [at, called, ended_at], hostile)
        lines += _test(number, test, f"gw{worker}", [at, called, ended_at], number % failing == 0, hostile)
    machines += _unused(tests, max(free))
    lines += [_line("ended", max(free), exitstatus=1)] if ended else [_line("began", BEGAN + 2, test="test_cut")]
    (records.directory / "tests.jsonl").write_text("\n".join(lines) + "\n")
    records.ledger.write_text("\n".join(machines) + "\n")
    return records


def _line(event: str, at: float, /, **facts: Any) -> str:
    return json.dumps({"event": event, "t": at, **facts})


def _machine(number: int, test: str, worker: str, times: list[float], hostile: str) -> Iterator[str]:
    at, called, ended = times
    entry, ahead = f"{number:016x}", number % 3 == 0
    arn, step = f"{_ARN}{number:032x}", (called - at) / 6
    labels = {"fargate-sandbox:worker": worker, "fargate-sandbox:test": test}
    size = {"cpu": "1024", "memory": "2048"}
    place = {"cluster": "bench", "region": "eu-west-1", "image": f"repo/task:{number % 7}{hostile}"}

    def line(event: str, when: float, **facts: Any) -> str:
        return json.dumps({"entry": entry, "event": event, "t": round(when, 3), **facts})

    yield json.dumps({"entry": f"setup-{entry}", "event": "waiting", "t": at, "test": test})
    yield line("opened", at, labels=labels, **size, **place)
    for turn, phase in enumerate(("image", "definition", "launch")):
        yield line("phase", at + turn * step / 3, name=phase)
    if number % 50 == 7:
        yield line("refused", at + step, refusal=f"You've reached the limit on vCPUs{hostile}")
    yield line("launched", at + step, task_arn=arn)
    if ahead:
        yield line("shelved", at + step)
        yield line("claimed", at + 2 * step)
    for turn, phase in enumerate(("address", "tunnel", "server")):
        yield line("phase", at + (3 + turn) * step, name=phase)
    yield line("ready", called)
    phases = {"waited": step, "launch": step, "address": step, "tunnel": step, "server": step}
    yield line("set_up", called, phases=phases, launch_sec=2 * step, prelaunched=ahead)
    yield json.dumps({"entry": f"setup-{entry}", "event": "waited", "t": called})
    yield line("tested", ended, tests=[test])
    commands = [{"command": "make test", "began": called, "duration_sec": 0.5, "return_code": 0, "state": "exit 0"}]
    yield line("used", ended, commands=commands)
    yield line("stopped", ended + 0.8, task_arn=arn, cause=hostile)
    if number % 20 == 0:
        error = {"type": "TransportError", "cause": "network", "message": f"the connection broke{hostile}"}
        yield json.dumps({"entry": f"retry-{entry}", "event": "retried", "t": at, "test": test, "error": error})


def _unused(number: int, until: float) -> Iterator[str]:
    arn = f"{_ARN}{number:032x}"
    facts = {"entry": "unused", "task_arn": arn}
    labels = {"fargate-sandbox:worker": "gw0"}
    yield json.dumps({**facts, "event": "opened", "t": BEGAN + 1, "labels": labels, "cpu": "256", "memory": "512"})
    for event in ("launched", "shelved"):
        yield json.dumps({**facts, "event": event, "t": BEGAN + 2})
    yield json.dumps({**facts, "event": "stopped", "t": until})


def _test(number: int, test: str, worker: str, times: list[float], fails: bool, hostile: str) -> Iterator[str]:
    at, called, ended = times
    arn = f"{_ARN}{number:032x}"
    again = number % 20 == 0
    outcome = {"outcome": "failed" if fails else "passed", "attempts": 2 if again else 1, "infrastructure": None}
    steps = {"setup": (at, called), "call": (called, ended), "teardown": (ended, ended + 1)}
    if again:
        met = {"type": "TransportError", "cause": f"network{hostile}", "message": "the connection broke"}
        yield _line("story", at, **_story(test, arn, 1, times, hostile), infrastructure=met)
    if fails:
        yield _line("story", ended, **_story(test, arn, 1 + again, times, hostile), infrastructure=None)
    if number == 0:
        text = "\n".join(map(json.dumps, _RECORDING)) + "\n"
        yield _line("recording", ended, test=test, task_id="t-0", terminal=f"shell{hostile}", cut=False, text=text)
    yield _line("began", at, test=test)
    saved = [] if number else ["/saved/out.txt", "/saved/out.html", "/saved/out"]
    yield _line("test", ended, test=test, **outcome, worker=worker, began=at, ended=ended, times=steps, artifacts=saved)
    agent, verdict = f"agent-{number % 2}", "fail" if fails else "pass"
    yield _line("attempt", ended, test=test, task=f"task-{number % 5}{hostile}", agent=agent, verdict=verdict)


def _story(test: str, arn: str, attempt: int, times: list[float], hostile: str) -> dict[str, Any]:
    command = {"command": f"make test{hostile}", "began": times[1], "duration_sec": 0.5, "return_code": 2}
    command |= {"state": "exit 2", "stdout": f"compiling\n{hostile}" * 20, "stderr": f"error: no rule{hostile}"}
    sandbox = {"task_id": f"t-{arn[-4:]}", "task_arn": arn, "image": "repo/task", "phases": {"launch": 1.5}}
    sandbox |= {"cause": hostile, "commands": [command] * 5, "screens": {"shell": f"$ make{hostile}"}, "log": hostile}
    error = f"def test_it(fargate_sandbox):\n>   assert result.ok\nE   AssertionError{hostile}"
    when = {"when": "call", "began": times[1], "ended": times[2], "attempt": attempt}
    return {"test": test, **when, "error": error, "sandboxes": [sandbox]}
