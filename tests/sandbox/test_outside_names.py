"""Services outside that speak TLS: a client in the sandbox checks the certificate against the name that it asks for."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest
from cryptography import x509

from tests.own_ca import OwnCa
from tests.sandbox.agent_image import agent_image

if TYPE_CHECKING:
    from pathlib import Path

    from tests.engine_of_tests import EngineOfTests

NAMES = ("one.example", "other.example")

ASK = """
import json, os, ssl, urllib.request
context = ssl.create_default_context(cadata=os.environ["CA"])
answers = {}
for word in ("ONE", "OTHER"):
    with urllib.request.urlopen(os.environ[word], context=context, timeout=20) as answer:
        answers[os.environ[word]] = answer.read().decode()
print(json.dumps(answers))
"""

AGENT = f"""
import contextlib, io
from http.server import BaseHTTPRequestHandler, HTTPServer
said = io.StringIO()
with contextlib.redirect_stdout(said):  # from its very first instruction
    exec({ASK!r})
class Agent(BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(said.getvalue().encode())
HTTPServer(("127.0.0.1", 8000), Agent).serve_forever()
"""

SERVICE_AND_SANDBOX = """
import json, ssl, sys, threading, urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pytest_fargate_sandbox import EcsFargateConfig, EcsFargateSandbox, OutsideEndpoint, SshSidecarConfig

told = json.load(sys.stdin)
asked_for = threading.local()

class Service(BaseHTTPRequestHandler):
    def do_GET(self):
        said = f"{self.server.name} {asked_for.name} {self.headers['Host']} {self.path}".encode()
        self.send_response(200)
        self.send_header("Content-Length", str(len(said)))
        self.end_headers()
        self.wfile.write(said)
    def log_message(self, *_): pass

class Server(ThreadingHTTPServer):
    def finish_request(self, request, address):
        super().finish_request(self.context.wrap_socket(request, server_side=True), address)

for name, address in told["addresses"].items():
    server = Server((address, 443), Service)
    server.name, server.context = name, ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    server.context.load_cert_chain(told["certificates"][name])
    server.context.sni_callback = lambda _socket, name, _context: setattr(asked_for, "name", name)
    threading.Thread(target=server.serve_forever, daemon=True).start()

endpoints = [OutsideEndpoint("https://one.example/v1?x=1", "ONE"), OutsideEndpoint("https://other.example/v2", "OTHER")]

def sandbox(**fields):
    cfg = EcsFargateConfig(cluster="local", cpu="256", memory="512", extra_env={"CA": told["ca"]}, **fields)
    return EcsFargateSandbox(cfg, task_id="names", run_id="run")

with sandbox(ssh_sidecar=SshSidecarConfig(exec_server_port=19542)) as commanded:
    commanded.start(outside_endpoints=endpoints)
    print(commanded.exec(["python3", "-c", told["ask"]], check=True).stdout, end="")
agents = {"container_port": 8000, "task_definition": told["agent"], "ssh_sidecar": SshSidecarConfig()}
with sandbox(**agents) as agent:
    agent.start(outside_endpoints=endpoints)
    print(urllib.request.urlopen(f"http://127.0.0.1:{agent.local_port}/", timeout=20).read().decode(), end="")
"""


@pytest.mark.root  # names are resolved here from a file that is mounted for this test alone
def test_in_both_modes_the_name_and_its_port_are_kept_and_verified(engine: EngineOfTests, tmp_path: Path) -> None:
    authority = OwnCa()
    here = int.from_bytes(os.urandom(2), "big")
    addresses = {name: f"127.77.{here >> 8}.{here & 255 ^ number}" for number, name in enumerate(NAMES)}
    hosts = tmp_path / "hosts"
    hosts.write_text("".join(f"{address} {name}\n" for name, address in addresses.items()))
    told: dict[str, Any] = {
        "addresses": addresses,
        "certificates": {name: str(authority.shown_by(tmp_path / name, x509.DNSName(name))) for name in NAMES},
        "ca": authority.root,
        "ask": ASK,
        "agent": agent_image(engine, AGENT, "agent-of-names"),
    }
    with_hosts = ["unshare", "--mount", "/bin/sh", "-ec", 'mount --bind "$0" /etc/hosts; exec "$@"', str(hosts)]
    done = subprocess.run(
        [*with_hosts, sys.executable, "-c", SERVICE_AND_SANDBOX],
        input=json.dumps(told), capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    heard = {
        "https://one.example/v1?x=1": "one.example one.example one.example /v1?x=1",
        "https://other.example/v2": "other.example other.example other.example /v2",
    }
    assert [json.loads(line) for line in done.stdout.splitlines()] == [heard, heard]
