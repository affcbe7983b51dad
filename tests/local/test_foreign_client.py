"""A foreign program, which knows boto3 and paramiko and nothing of us, with a sidecar of its own: Debian's sshd."""

from __future__ import annotations

import io
import urllib.request
from typing import TYPE_CHECKING

import paramiko
import pytest

from pytest_fargate_sandbox.leaves.waiting import NotYet, wait_until
from tests.local.engine_process import WAIT, container

if TYPE_CHECKING:
    from tests.local.engine_process import EngineProcess

_SIDECAR = """
set -e
mkdir -p /run/sshd /root/.ssh
ssh-keygen -q -t ed25519 -N '' -f /etc/ssh/their_host_key
printf '%s\\n' "$AUTHORIZED_KEY" > /root/.ssh/authorized_keys
chmod 700 /root/.ssh; chmod 600 /root/.ssh/authorized_keys
exec /usr/sbin/sshd -D -e -f /dev/null -p 2222 -h /etc/ssh/their_host_key \\
    -o PermitRootLogin=yes -o AllowTcpForwarding=yes -o StrictModes=no
"""
_MAIN = f"""
cd /mnt/shared
python3 -m http.server --bind 127.0.0.1 8000 >/dev/null 2>&1 &
{WAIT}
"""


def _connect(address: str, key: paramiko.PKey) -> paramiko.SSHClient:
    def probe() -> paramiko.SSHClient:
        client = paramiko.SSHClient()
        client.set_missing_host_key_policy(paramiko.MissingHostKeyPolicy())
        try:
            client.connect(address, 2222, "root", pkey=key, look_for_keys=False, allow_agent=False, timeout=5)
        except (OSError, paramiko.SSHException) as error:
            client.close()
            raise NotYet(repr(error)) from error
        return client

    return wait_until(probe, deadline=40, what="the foreign sshd")


@pytest.mark.root
@pytest.mark.needs("sshd")
def test_its_own_sshd_answers_at_the_address_that_ec2_tells(engine: EngineProcess) -> None:
    key = paramiko.RSAKey.generate(2048)
    mounts = [{"sourceVolume": "shared", "containerPath": "/mnt/shared"}]
    definition = engine.register(
        container(
            "ssh",
            _SIDECAR,
            mountPoints=mounts,
            portMappings=[{"containerPort": 2222}],
            healthCheck={"command": ["CMD-SHELL", "test -e /run/sshd.pid"], "interval": 5},
            linuxParameters={"initProcessEnabled": True},
        ),
        container("main", _MAIN, mountPoints=mounts, dependsOn=[{"containerName": "ssh", "condition": "HEALTHY"}]),
        volumes=[{"name": "shared"}],
        family="foreign",
    )
    variable = {"name": "AUTHORIZED_KEY", "value": f"ssh-rsa {key.get_base64()}"}
    override = {"name": "ssh", "environment": [variable]}
    arn = engine.launch(definition, overrides={"containerOverrides": [override]})
    engine.wait(arn, "RUNNING")
    client = _connect(engine.address(arn), key)
    try:
        _, output, _ = client.exec_command("echo hello > /mnt/shared/page; id -u")
        assert output.read() == b"0\n"
        transport = client.get_transport()
        assert transport is not None
        assert _fetch(transport, "/page") == b"hello\n"
    finally:
        client.close()
    engine.stop(arn)


def _fetch(transport: paramiko.Transport, path: str) -> bytes:
    """A page of the main container's own server, through the sidecar: they share 127.0.0.1."""

    def probe() -> bytes:
        try:
            channel = transport.open_channel("direct-tcpip", ("127.0.0.1", 8000), ("127.0.0.1", 0))
        except paramiko.ChannelException as error:
            raise NotYet(repr(error)) from error
        with channel:
            channel.sendall(f"GET {path} HTTP/1.0\r\n\r\n".encode())
            answer = io.BytesIO()
            while part := channel.recv(65536):
                answer.write(part)
        return answer.getvalue().partition(b"\r\n\r\n")[2]

    return wait_until(probe, deadline=40, what="the main container's server")


def test_two_tasks_listen_on_the_same_port_and_never_clash(engine: EngineProcess) -> None:
    serve = "import http.server, os; h = http.server.HTTPServer(('', 2222), http.server.SimpleHTTPRequestHandler)"
    script = f"""mkdir /mnt/w; cd /mnt/w; echo $WORD > word; python3 -c "{serve}; h.serve_forever()" """
    definition = engine.register(container(script=script))
    arns = []
    for word in ("one", "two"):
        override = {"name": "main", "environment": [{"name": "WORD", "value": word}]}
        arns.append(engine.launch(definition, overrides={"containerOverrides": [override]}))
    for arn, word in zip(arns, (b"one\n", b"two\n"), strict=True):
        engine.wait(arn, "RUNNING")
        assert _get(engine.address(arn)) == word
        engine.ecs.stop_task(cluster="local", task=arn)


def _get(address: str) -> bytes:

    def probe() -> bytes:
        try:
            with urllib.request.urlopen(f"http://{address}:2222/word", timeout=5) as answer:
                content: bytes = answer.read()
        except OSError as error:
            raise NotYet(repr(error)) from error
        return content

    return wait_until(probe, deadline=40, what=f"the server at {address}")
