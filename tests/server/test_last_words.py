"""What a server that is stopped owes those who listen to its commands."""

from __future__ import annotations

import signal
import subprocess
from contextlib import suppress
from typing import TYPE_CHECKING

from tests.exec_server_process import ExecServerProcess, altered_source

if TYPE_CHECKING:
    from pathlib import Path


def test_a_client_that_is_behind_hears_the_end_of_what_sigterm_ends(tmp_path: Path) -> None:
    with altered_source(_STOP_PATIENCE_SEC=60):
        server = ExecServerProcess(tmp_path)
    heard = 0

    def listen(output: bytes | str) -> None:
        nonlocal heard
        if not heard:
            server.process.terminate()
            with suppress(subprocess.TimeoutExpired):
                server.process.wait(0.3)
        heard += len(output)

    result = server.client.exec("yes", on_output=listen)
    assert (result.return_code, heard == len(result.stdout_bytes)) == (128 + signal.SIGTERM, True)
    assert server.close() == 128 + signal.SIGTERM
