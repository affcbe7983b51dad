"""Agent-server mode through the plugin: the image's own server, reached from the test, reaches out itself."""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING

import pytest

from tests.plugin.one_process import run_pytest
from tests.real_podman import busybox_image, remove_images

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.plugin.conftest import EngineLog

DOCKERFILE = """
FROM BASE
COPY --chmod=755 answer /www/cgi-bin/answer
CMD ["busybox", "sh", "-c", "echo listening; exec busybox httpd -f -p 8000 -h /www"]
"""

ANSWER = """#!/bin/sh
printf '\\r\\n'
echo "$ROLE was told: $(busybox wget -qO- "$MODEL/v1?q=$QUERY_STRING")"
"""

TESTS = """
import http.server, threading, urllib.request
import pytest

class Model(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(f"the answer to {self.path}".encode())

model = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Model)
threading.Thread(target=model.serve_forever, daemon=True).start()
MODEL = (f"http://127.0.0.1:{model.server_port}", "MODEL")

def ask(agent, question):
    url = f"http://127.0.0.1:{agent.local_port}/cgi-bin/answer?{question}"
    with urllib.request.urlopen(url, timeout=20) as answer:
        return answer.read().decode()

@pytest.mark.fargate(
    environment="NAME", container_port=8000, outside=[MODEL], env={"ROLE": "solver"}, artifacts=["/www/*"]
)
def test_one_is_marked_and_one_made_by_hand_and_neither_has_commands(fargate_agent, fargate_sandbox_factory):
    critic = fargate_sandbox_factory(
        mode="agent", environment="NAME", container_port=8000, outside=[MODEL], env={"ROLE": "critic"}
    )
    assert ask(fargate_agent, "1") == "solver was told: the answer to /v1?q=1\\n"
    assert ask(critic, "2") == "critic was told: the answer to /v1?q=2\\n"
    fargate_agent.exec("true")
"""

LOGGED = """
[tool.pytest_fargate_sandbox]
log_group = "logs-of-agents"
execution_role = "arn:aws:iam::123456789012:role/execution"
"""


@pytest.fixture
def tests(pytester: pytest.Pytester) -> Iterator[pytest.Pytester]:
    name = f"agent-{uuid.uuid4().hex[:10]}"
    directory = pytester.mkdir(name)
    (directory / "Dockerfile").write_text(DOCKERFILE.replace("BASE", busybox_image()))
    (directory / "answer").write_text(ANSWER)
    pytester.makepyfile(test_it=TESTS.replace("NAME", name))
    yield pytester
    remove_images(f"/fargate-sandbox:{name}")


def test_an_agent_is_reached_and_reaches_the_outside(tests: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    tests.makepyprojecttoml(LOGGED)
    result = run_pytest(tests, "-p", "no:cacheprovider", "-p", "no:xdist", "--fargate-artifacts=left")
    result.assert_outcomes(failed=1)
    logs = sorted(tests.path.glob("left/*/*.log"))
    assert ["listening" in log.read_text() for log in logs] == [True, True]
    assert set(map(str, logs)) < set(result.outlines)
    result.stdout.fnmatch_lines(["*Saved of this test*", "/www/[*]: not saved: commands and files need *"])
    result.stdout.fnmatch_lines(["*commands and files need exec-server mode*talk to the agent at local_port*"])
    assert shared_engine_log.cut_off() == []


def test_where_the_agent_listens_has_to_be_said(pytester: pytest.Pytester, shared_engine_log: EngineLog) -> None:
    pytester.makepyfile("def test_it(fargate_agent): pass")
    result = run_pytest(pytester, "-p", "no:cacheprovider", "-p", "no:xdist")
    result.assert_outcomes(errors=1)
    result.stdout.fnmatch_lines(["container_port is missing: agent-server mode*set `container_port` (of the marker)*"])
    assert shared_engine_log.calls("RunTask") == 0
