"""What the pages show runs: each piece of Python, in a real sandbox or as tests of a run."""

from __future__ import annotations

import ast
import asyncio
import contextlib
import re
import shutil
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import pytest_fargate_sandbox
from pytest_fargate_sandbox import EcsFargateSandbox
from tests.plugin.one_process import run_pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.engine_of_tests import EngineOfTests

ROOT = Path(__file__).parents[1]
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))
SNIPPETS = {
    f"{page.name}-{number}": textwrap.dedent(snippet)
    for page in PAGES
    for number, snippet in enumerate(
        re.findall(r"^ *```python\n(.*?)^ *```", page.read_text(), re.DOTALL | re.MULTILINE)
    )
}

SEEN_TO_ELSEWHERE = {
    "inspect.md-0": "tests/adapters/inspect",
    "library.md-1": "tests/providers/test_ssh_tunnel.py",
    "library.md-2": "tests/sandbox/test_fargate_conformance.py",
    "openai-agents.md-0": "tests/adapters/openai_agents",
    "pytest.md-1": "tests/plugin/test_agent.py",
}
"""What takes a harness, a server or an image of one's own, or long."""

TESTS = {name: text for name, text in SNIPPETS.items() if re.search("^def test_", text, re.MULTILINE)}
STATEMENTS = {name: text for name, text in SNIPPETS.items() if name not in TESTS}

STAND_INS = {
    'user="builder"': 'user="nobody"',
    'image="python:3.12-slim"': 'image="host"',
    'environment="environments/sorting"': 'image="host"',
    'environment="environments/web"': 'image="host"',
    '["tasks/hello", "tasks/sums"]': '["tasks/hello"]',
    "python3 -m venv env && env/bin/pip install -r requirements.txt": (
        "mkdir -p env/bin; echo '#!/bin/sh' > env/bin/python; chmod +x env/bin/python"
    ),
}
"""What a sandbox of this machine's own image has not, or takes long."""

PROGRAMS = {
    "make": "echo made",
    "git": "echo git",
    "pip": "echo installed",
    "pytest": "echo 3 passed",
    "curl": "echo fetched",
    "vim": 'echo "$1"; read typed',
}
"""Of a sandbox: they stand in for those that a user's image has."""

BIN = "/stand-ins"
PATH = f"{BIN}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:{sys.base_prefix}/bin"
PREPARE = "\n".join(
    [
        "mkdir -p /src/.venv/bin /logs /srv/data /app /work; echo : > /src/.venv/bin/activate; echo r > /src/report",
        "echo '<testsuite/>' > report.xml; echo core > core; echo log > /logs/a.log; echo '# notes' > notes.txt",
        f"put() {{ printf '%s\n' '#!/bin/sh' \"$2\" > {BIN}/$1; chmod 755 {BIN}/$1; }}; mkdir -p {BIN}",
        *(f"put {name} '{text}'" for name, text in PROGRAMS.items()),
    ]
)

HEAD = """
import pytest, urllib.request
from pytest_fargate_sandbox import OutsideEndpoint

def my_agent(sandbox, instruction, seconds):
    sandbox.exec(open("tasks/hello/solution/solve.sh").read(), check=True, cwd="/app")

"""
CONFTEST = f"""
import pytest

def pytest_fargate_sandbox_started(item, sandbox):
    getattr(sandbox, "machine", sandbox).exec({PREPARE!r}, check=True)
"""


SERVER = r"""
import socket
server = socket.create_server(("127.0.0.1", 8000))
print("listens", flush=True)
while True:
    visitor = server.accept()[0]
    visitor.settimeout(1)
    try:
        visitor.recv(4096)
        visitor.sendall(b"HTTP/1.0 200 OK\r\n\r\n")
    except OSError:
        pass
    visitor.close()
"""


def _text(name: str) -> str:
    text = SNIPPETS[name]
    for shown, run in STAND_INS.items():
        text = text.replace(shown, run)
    return text


@pytest.fixture(scope="module")
def machine(_engine_of_tests: EngineOfTests) -> Iterator[EcsFargateSandbox]:
    """One for all of them; each has slots of its own."""
    cfg = pytest_fargate_sandbox.EcsFargateConfig(
        cluster="local",
        ssh_sidecar=pytest_fargate_sandbox.SshSidecarConfig(exec_server_port=19542),
        extra_env={"PATH": PATH},
    )
    with EcsFargateSandbox(cfg, task_id="snippets", run_id="snippets") as sandbox:
        sandbox.start()
        sandbox.exec(PREPARE, check=True)
        yield sandbox


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=pytest.mark.root if 'user="' in SNIPPETS[name] else ())
        for name in sorted(set(STATEMENTS) - set(SEEN_TO_ELSEWHERE))
    ],
)
def test_statements_run(machine: EcsFargateSandbox, name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "project").mkdir()
    (tmp_path / "project/main.py").write_text("print(1)\n")
    with contextlib.ExitStack() as stack:
        slots = [stack.enter_context(slot) for slot in machine.slots(2)]
        new = EcsFargateSandbox(machine.cfg, task_id="new", run_id="snippets")
        stack.callback(new.stop)
        public = [name for name in dir(pytest_fargate_sandbox) if not name.startswith("_")]
        names: dict[str, Any] = {name: getattr(pytest_fargate_sandbox, name) for name in public}
        exec("import socket, urllib.request", names)
        names.update(
            Path=Path, sandbox=machine, slot=slots[0], other_slot=slots[1], cfg=machine.cfg, config=machine.cfg
        )
        if "sandbox.start(" in SNIPPETS[name]:
            names["sandbox"] = new
        if name == "network.md-0":
            stack.enter_context(_a_server_in(machine))
        text = _text(name)
        if "await " in text:
            exec(f"async def main():\n{textwrap.indent(text, '    ')}", names)
            asyncio.run(names["main"]())
        else:
            exec(compile(text, name, "exec"), names)


@contextlib.contextmanager
def _a_server_in(machine: EcsFargateSandbox) -> Iterator[None]:
    """At port 8000."""
    server = machine.spawn(["python3", "-c", SERVER])
    server.read(timeout=5)
    try:
        yield
    finally:
        server.kill()


@pytest.mark.usefixtures("engine")
def test_tests_pass(pytester: pytest.Pytester, machine: EcsFargateSandbox) -> None:
    shown = {ast.dump(ast.parse(text)): name for name, text in TESTS.items() if name not in SEEN_TO_ELSEWHERE}
    for name in shown.values():
        file = pytester.path / f"test_{re.sub('[^a-z0-9]', '_', name)}.py"
        file.write_text(HEAD + _text(name))
    shutil.copytree(ROOT / "examples/tasks/hello", pytester.path / "tasks/hello")
    for file_of_theirs in ("requirements.txt", "data.csv"):
        (pytester.path / file_of_theirs).write_text("x\n")
    machine.save("/srv/data", to=pytester.path / "data.tar")
    pytester.makeconftest(CONFTEST)
    pytester.makepyprojecttoml(f'[tool.pytest_fargate_sandbox]\nenv = {{PATH = "{PATH}"}}')
    done = run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist", "--fargate-prelaunch=0")
    assert done.ret == 0, done.stdout.str()


def test_none_is_left_out() -> None:
    assert set(SEEN_TO_ELSEWHERE) <= set(SNIPPETS)
    assert all((ROOT / place).exists() for place in SEEN_TO_ELSEWHERE.values())
    assert len(SNIPPETS) > 20
