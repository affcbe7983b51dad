"""Clients that others have written agree with the engine on what a data channel is: it is not only ours that does."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tests.components import FOREIGN_CLIENTS, SESSION_PEERS
from tests.local.ssm.exec_task import PORT, opened_by_ecs
from tests.local.ssm.session_peer import SessionPeer

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.local.ssm.exec_task import ExecTask

_TIMEOUT_SEC = 60
_INSTANCE = "i-0123456789abcdef0"
_SHELL_JS = Path(__file__).with_name("foreign_shell.js")


def _environment(task: ExecTask) -> dict[str, str]:
    return {**os.environ, **task.engine.exports, "AWS_EC2_METADATA_DISABLED": "true"}


@contextmanager
def _as_an_instance(task: ExecTask) -> Iterator[str]:
    """The URL of an SSM whose only instance is this task: pyssm's command line takes no other targets.

    Its own document is a shell, which ECS has no such session for: here it is a command. It has no prompt: one that
    comes late stands before what the command says, as part of that.
    """
    ssm = task.engine.client("ssm")

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            answer: dict[str, Any] = {"SessionId": request.get("SessionId")}
            if self.headers["X-Amz-Target"] == "AmazonSSM.StartSession":
                shell = {"DocumentName": "AWS-StartInteractiveCommand", "Parameters": {"command": ["env PS1= /bin/sh"]}}
                started = ssm.start_session(**{**shell, **request, "Target": task.target})
                answer = {key: started[key] for key in ("SessionId", "TokenValue", "StreamUrl")}
            body = json.dumps(answer).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        serving = threading.Thread(target=server.serve_forever, args=(0.01,))
        serving.start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()
        serving.join()


def _pyssm(url: str, *arguments: str) -> list[str]:
    verb, *options = arguments
    return [str(SESSION_PEERS / "bin/pyssm"), verb, "--target", _INSTANCE, "--endpoint-url", url, *options]


@pytest.mark.needs("pyssm")
def test_pyssm_executes_a_command_and_finds_its_exit_code(task: ExecTask) -> None:
    with _as_an_instance(task) as url:
        command = _pyssm(url, "exec", "--command", "echo hello; exit 3")
        done = subprocess.run(command, env=_environment(task), capture_output=True, timeout=_TIMEOUT_SEC, check=False)
    assert (done.returncode, done.stdout) == (3, b"hello\n"), done.stderr


@pytest.mark.needs("pyssm")
def test_pyssm_forwards_a_port_for_one_connection_after_another(task: ExecTask) -> None:
    with _as_an_instance(task) as url:
        forward = _pyssm(url, "port-forward", "--remote-port", str(PORT))
        with subprocess.Popen(forward, env=_environment(task), stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None
            listening = next(line for line in process.stdout if "listening on" in line)
            for size in (1, 100_000):
                sent = os.urandom(size)
                with socket.create_connection(("127.0.0.1", int(listening.rpartition(":")[2]))) as connection:
                    connection.settimeout(_TIMEOUT_SEC)
                    threading.Thread(target=connection.sendall, args=(sent,)).start()
                    got = bytearray()
                    while len(got) < size and (part := connection.recv(65536)):
                        got += part
                    assert bytes(got) == sent
            process.terminate()


@pytest.mark.needs("ssm-session")
def test_ssm_session_of_npm_has_a_shell_at_a_terminal(task: ExecTask) -> None:
    opened = task.engine.client("ssm").start_session(
        Target=task.target, DocumentName="AWS-StartInteractiveCommand", Parameters={"command": ["/bin/sh"]}
    )
    done = subprocess.run(
        ["node", str(_SHELL_JS), opened["StreamUrl"], opened["TokenValue"]],
        input=b"stty size; echo $((6*7)); exit\n",
        env={**os.environ, "NODE_PATH": str(SESSION_PEERS / "node_modules")},
        capture_output=True,
        timeout=_TIMEOUT_SEC,
        check=False,
    )
    assert done.stdout.startswith(b"# "), done.stderr
    assert {b"34 197", b"42"} <= set(done.stdout.splitlines())  # it prints once more what comes once more


@pytest.mark.needs("aws")
def test_the_aws_command_line_hands_the_session_to_its_plugin(task: ExecTask, tmp_path: Path) -> None:
    plugin = tmp_path / "session-manager-plugin"
    plugin.write_text(f'#!/bin/sh\n[ "$1" = --version ] || printf "%s\\n" "$1" > {tmp_path}/session\n')
    plugin.chmod(0o755)
    packages = str(FOREIGN_CLIENTS / "root/opt/clients")
    environment = {**_environment(task), "PATH": f"{tmp_path}:{os.environ['PATH']}", "PYTHONPATH": packages}
    asked = ["--cluster", "local", "--task", task.arn, "--command", "echo hello", "--interactive"]
    command = [sys.executable, "-m", "awscli", "ecs", "execute-command", *asked]
    subprocess.run(command, env=environment, timeout=_TIMEOUT_SEC, check=True)
    peer = SessionPeer(opened_by_ecs(json.loads((tmp_path / "session").read_text())))
    assert peer.wait_for_end() == ""
    assert peer.output() == b"hello\r\n"
