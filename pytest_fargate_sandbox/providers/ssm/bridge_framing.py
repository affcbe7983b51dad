"""How records travel where IAM allows nothing but ``ecs:ExecuteCommand``: as lines of base64 on a terminal.

The command that is executed puts its terminal into raw mode and carries lines to the server and back. A terminal is not
safe for bytes, and a line is never spread over two messages, so one that comes twice is two records of one number.
"""

from __future__ import annotations

import base64
import binascii
from typing import TYPE_CHECKING

from pytest_fargate_sandbox.leaves.errors import TransportError
from pytest_fargate_sandbox.leaves.session_message import PayloadType
from pytest_fargate_sandbox.providers.ssm.handshake import response_to

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.leaves.session_message import SessionMessage

_MARK = b"fargate-sandbox-bridge"
_MOST_LINE = 1 << 16
_PROGRAM = """
import base64,os,select,socket,tty
tty.setraw(0)
s=socket.create_connection(("127.0.0.1",@port@))
def w(d):
 while d:d=d[os.write(1,d):]
w(b"\\n@mark@\\n")
b=b""
while 1:
 r=select.select([0,s],[],[])[0]
 if 0 in r:
  d=os.read(0,65536)
  if not d:break
  *l,b=(b+d).split(b"\\n")
  for x in l:s.sendall(base64.b64decode(x))
 if s in r:
  d=s.recv(750)
  if not d:break
  w(base64.b64encode(d)+b"\\n")
"""


def bridge_command(port: int) -> str:
    """What ECS is to execute in the container: split as a shell would, and run without one."""
    program = _PROGRAM.replace("@port@", str(port)).replace("@mark@", _MARK.decode())
    packed = base64.b64encode(program.encode()).decode()
    return f"python3 -I -S -c \"import base64;exec(base64.b64decode('{packed}'))\""


class BridgeFraming:
    """As ``PortFraming``."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._has_begun = False

    def most(self, message_bytes: int) -> int:
        return (message_bytes - 1) // 4 * 3

    def wrap(self, record: bytes) -> bytes:
        return base64.b64encode(record) + b"\n"

    def take(
        self,
        message: SessionMessage,
        send: Callable[[int, bytes], None],
        heard: Callable[[bytes], None],
        opening: bytes,
    ) -> None:
        if message.payload_type == PayloadType.HANDSHAKE_REQUEST:  # where the cluster has a KMS key
            send(PayloadType.HANDSHAKE_RESPONSE, response_to(message))
        if message.payload_type != PayloadType.DATA:
            return
        self._rest += message.payload
        *lines, rest = bytes(self._rest).split(b"\n")
        if len(rest) > _MOST_LINE:
            raise TransportError("what answers in the session is not our bridge: a line without an end")
        self._rest[:] = rest
        for line in lines:
            if self._has_begun:
                heard(_decoded(line))
            elif line.strip() == _MARK:
                self._has_begun = True
                send(PayloadType.DATA, self.wrap(opening))
            elif b"rror" in line or b"not found" in line:
                raise TransportError(f"the bridge cannot run: {line[:200].decode('utf-8', 'replace').strip()}")


def _decoded(line: bytes) -> bytes:
    try:
        return base64.b64decode(line, validate=True)
    except binascii.Error:
        raise TransportError(f"what answers in the session is not our bridge: {line[:80]!r}") from None
