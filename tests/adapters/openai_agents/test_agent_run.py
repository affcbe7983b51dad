"""An agent of the SDK, whose model is scripted, works in a sandbox."""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any

import pytest
from agents import RunConfig, Runner, RunState, function_tool
from agents.sandbox import Manifest, SandboxAgent, SandboxRunConfig
from agents.sandbox.capabilities import Capabilities
from agents.sandbox.entries import File
from agents.sandbox.snapshot import LocalSnapshotSpec
from agents.testing import ModelStep, ScriptedModel, assistant_message, function_call
from openai.types.responses.response_custom_tool_call import ResponseCustomToolCall

from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClientOptions

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from agents.testing import ModelCall

    from pytest_fargate_sandbox.adapters.openai_agents import FargateSandboxClient

    Run = Callable[..., Any]
    Alive = Callable[[], set[str]]

PATCH = """*** Begin Patch
*** Update File: sum.py
@@
-print(1 + 1
+print(1 + 1)
*** Add File: notes.md
+mended
*** End Patch
"""
MANIFEST = Manifest(entries={"sum.py": File(content=b"print(1 + 1\n")})


def shell(number: int, cmd: str, **args: Any) -> list[Any]:
    return [function_call("exec_command", {"cmd": cmd, **args}, call_id=f"shell-{number}")]


def typed(number: int, chars: str) -> Any:
    """Into the process that the last answer was of."""

    def step(call: ModelCall) -> list[Any]:
        found = re.search(r"session ID (\d+)", outputs(call.input)[-1])
        assert found
        args = {"session_id": int(found[1]), "chars": chars, "yield_time_ms": 2000}
        return [function_call("write_stdin", args, call_id=f"typed-{number}")]

    return ModelStep.respond(step)


def outputs(items: Any) -> list[str]:
    plain = [item if isinstance(item, dict) else item.model_dump() for item in items]
    return [str(item["output"]) for item in plain if str(item.get("type", "")).endswith("_output")]


@function_tool(name_override="ask", needs_approval=True)
def ask() -> str:
    return "approved"


def agent(model: ScriptedModel) -> SandboxAgent:
    return SandboxAgent(
        name="coder",
        model=model,
        instructions="Work in the sandbox.",
        default_manifest=MANIFEST,
        tools=[ask],
        capabilities=Capabilities.default(),
    )


@pytest.mark.parametrize("pauses", [False, True])
def test_an_agent_mends_a_file_asks_and_goes_on_where_it_was(
    run: Run, client: FargateSandboxClient, alive: Alive, tmp_path: Path, pauses: bool
) -> None:
    """With shell, patches and a terminal; between its two runs there is a snapshot, or the sandbox as it was left."""
    patch = ResponseCustomToolCall(type="custom_tool_call", name="apply_patch", call_id="patch", input=PATCH)
    first = ScriptedModel(
        [
            shell(1, "python3 sum.py; echo code $?"),
            [patch],
            shell(2, "python3 -q", tty=True, yield_time_ms=1000),
            typed(1, "6 * 7\n"),
            typed(2, "exit(5)\n"),
            shell(3, "touch /tmp/here; cat no-such-file"),
            [function_call("ask", {}, call_id="ask")],
        ]
    )
    sandbox = SandboxRunConfig(
        client=client,
        snapshot=LocalSnapshotSpec(base_path=tmp_path),
        options={"name": f"coder-{pauses}", "pause_on_exit": pauses, "ttl": "10m"},
    )
    config = RunConfig(sandbox=sandbox, tracing_disabled=True)

    async def act() -> None:
        asked = await Runner.run(agent(first), "Mend sum.py.", run_config=config)
        first.assert_complete()
        broken, patched, prompt, product, left, missing = outputs(asked.to_input_list())
        assert "SyntaxError" in broken
        assert "code 1" in broken
        assert "notes.md" in patched
        assert ">>>" in prompt
        assert "\n42" in product.replace("\r", "")
        assert "exited with code 5" in left
        assert "exited with code 1" in missing
        assert len(alive()) == pauses

        last = ScriptedModel(
            [shell(4, "python3 sum.py; cat notes.md; echo; ls /tmp/here"), [assistant_message("done")]]
        )
        state = await RunState.from_json(agent(last), json.loads(json.dumps(asked.to_state().to_json())))
        state.approve(state.get_interruptions()[0])
        done = await Runner.run(agent(last), state, run_config=config)
        last.assert_complete()
        assert done.final_output == "done"
        told = outputs(done.to_input_list())[-1]
        assert "2\nmended" in told
        assert told.endswith("/tmp/here\n") == pauses

    run(act())
    if pauses:
        left = run(client.create(options=FargateSandboxClientOptions(name="coder-True")))
        assert {left.state.task_arn} == alive()
        run(left.shutdown())
    assert not alive()
