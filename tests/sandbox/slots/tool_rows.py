"""The tools of a slot: the rows of the table in docs/slots.md, each with the call that shows it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.sandbox.slots.tool_result import ToolResult


class Caller:
    """``call("bash", command="pwd")``, in a slot."""

    def __init__(self, slot: Slot) -> None:
        self.slot = slot

    def __call__(self, tool: str, timeout: float = 30.0, **args: object) -> ToolResult:
        return self.slot.tool(tool, args, timeout)


@dataclass(frozen=True)
class Row:
    tool: str
    name: str
    """Of an argument, or of an entry of the metadata."""
    meaning: str
    holds: Callable[[Caller], object]


def _blocked(call: Caller) -> bool:
    done = call("tmux", action="send_keys", keys="sleep 0.2; echo so$((1+1))", block=True)
    return done.metadata["blocked"] is True and "so2" in call("tmux", action="capture").output


def _streamed(call: Caller) -> bool:
    call("bash_stateful", command="echo first")
    first = call("tmux", action="stream")
    second = call("tmux", action="stream")
    again = call("tmux", action="stream", reset=True, max_bytes=len(first.output.encode()))
    starts_anew = again.output.startswith('{"version": 2') and first.output.startswith('{"version": 2')
    return starts_anew and first.metadata["stream"] and not second.output and first.metadata["offset"] > 0


def _survives(call: Caller) -> bool:
    call("bash_stateful", command="cd /tmp; HERE=there")
    return call("bash_stateful", command='echo "$PWD $HERE"').output == "/tmp there"


def _ended_by_its_time(call: Caller) -> bool:
    call("bash_stateful", command="HERE=there")
    done = call("bash_stateful", 0.3, command="echo begun; sleep 60")
    begun = (done.success, done.error, done.metadata["exit_code"], done.metadata["timeout"])
    return begun == (False, "Command timed out after 0.3s", -1, True) and (
        call("bash_stateful", command='echo "[$HERE]"').output == "[]"
    )


def _busy(call: Caller) -> bool:
    call("tmux", action="send_keys", keys=["sleep 61", "Enter"])
    done = call("bash_stateful", command="true")
    return not done.success and done.error == "the shell is not at its prompt: `sleep 61` is running in it"


def _sized(call: Caller) -> bool:
    facts = call("tmux", action="start", pane_width=9999, pane_height=1).metadata
    return (facts["pane_width"], facts["pane_height"]) == (500, 10) and call(
        "bash_stateful", command="stty size"
    ).output == "10 500"


def _started(call: Caller) -> bool:
    facts = call("tmux", action="start").metadata
    return (facts["pane_width"], facts["pane_height"]) == (120, 40)


ROWS = (
    Row("bash", "`command`", "is run by `/bin/sh` in the workspace",
        lambda call: call("bash", command="pwd").output == call.slot.home),
    Row("bash", "output", "stdout, then `[stderr]` and stderr, without white space around it",
        lambda call: call("bash", command="echo one; echo two >&2").output == "one\n\n[stderr]\ntwo"),
    Row("bash", "output", "50,000 characters of each stream, then `... (output truncated)`",
        lambda call: call("bash", command="head -c 60000 /dev/zero | tr '\\0' x").output
        == "x" * 50_000 + "\n... (output truncated)"),
    Row("bash", "`exit_code`", "0 is success; else `error` is `Exit code: N`",
        lambda call: (done := call("bash", command="exit 3")).metadata["exit_code"] == 3
        and (done.success, done.error) == (False, "Exit code: 3")),
    Row("bash", "`timeout`", "it was ended after `timeout` seconds (30 if nothing is said): `exit_code` is -1",
        lambda call: (done := call("bash", 0.2, command="echo begun; sleep 60")).metadata["timeout"] is True
        and (done.metadata["exit_code"], done.error, done.output) == (-1, "Command timed out after 0.2s", "begun")),
    Row("bash", "`sandboxed`", "whether something stands between slots: isolation is not `none`",
        lambda call: call("bash", command="true").metadata["sandboxed"] is True),
    Row("bash", "`isolation`", "what that is, as `slot.isolation` has it",
        lambda call: call("bash", command="true").metadata["isolation"] == call.slot.isolation),
    Row("bash", "`sandbox_fallback`", "there only where isolation is `none`",
        lambda call: "sandbox_fallback" not in call("bash", command="true").metadata),
    Row("bash", "`require_sandbox`", "fails, with `requires_bwrap`, where isolation is `none`",
        lambda call: call("bash", command="true", require_sandbox=True).success),
    Row("bash", "`allow_network`", "without it fails, with `requires_bwrap`, unless the slot has no network",
        lambda call: (done := call("bash", command="true", allow_network=False)).metadata["requires_bwrap"] is True
        and not done.success and "Network isolation requested" in done.error),
    Row("bash", "`network_isolated`", "whether it ran without the machine's network",
        lambda call: call("bash", command="true").metadata["network_isolated"] is False),
    Row("bash_stateful", "`command`", "runs in a shell that lives on: directory, variables, jobs stay", _survives),
    Row("bash_stateful", "`stateful`", "is true",
        lambda call: call("bash_stateful", command="true").metadata["stateful"] is True),
    Row("bash_stateful", "`exit_code`", "the command's own",
        lambda call: call("bash_stateful", command="(exit 4)").metadata["exit_code"] == 4),
    Row("bash_stateful", "`error`", "also what keeps the shell from its prompt, where it takes no command", _busy),
    Row("bash_stateful", "`timeout`", "a time-out ends the shell with what runs in it: `exit_code` is -1",
        _ended_by_its_time),
    Row("bash_stateful", "`require_stateful_sandbox`", "as `require_sandbox`, which stands in for it",
        lambda call: call("bash_stateful", command="true", require_stateful_sandbox=True).success),
    Row("bash_stateful", "`allow_network`", "as for `bash`; a change of it begins a new shell",
        lambda call: not call("bash_stateful", command="true", allow_network=False).success),
    Row("read_file", "`path`", "in the workspace: `..` and absolute paths that leave it are refused",
        lambda call: call("read_file", path="../../etc/passwd").error == "Access denied: path outside workspace"
        and call("read_file", path="/etc/passwd").error == "Access denied: path outside workspace"),
    Row("read_file", "`size`", "of the file, with the `path` of it; more than 100,000 bytes are refused",
        lambda call: call("bash", command="echo hello >a; head -c 100001 /dev/zero >b").success
        and call("read_file", path="a").metadata == {"path": f"{call.slot.home}/a", "size": 6}
        and call("read_file", path="b").error == "File too large: 100001 bytes (max 100000)"
        and call("read_file", path="c").error == "File not found: c"
        and call("read_file", path=".").error == "Not a file: ."),
    Row("write_file", "`content`", "is what the file at `path` becomes; missing directories are made",
        lambda call: call("write_file", path="d/e", content="text").output == "Successfully wrote 4 bytes to d/e"
        and call("read_file", path="d/e").output == "text"),
    Row("write_file", "`path`", "in the workspace, as for `read_file`: not through a link that leads out either",
        lambda call: call("bash", command="ln -s /tmp out").success
        and call("write_file", path="out/x", content="x").error == "Access denied: path outside workspace"),
    Row("write_file", "`size`", "more than 100,000 bytes are refused",
        lambda call: call("write_file", path="f", content="x" * 100_001).error
        == "Content too large: 100001 bytes (max 100000)"),
    Row("tmux", "`action`", "`start`, `send_keys`, `capture` (if nothing is said), `stream`, `stop`",
        lambda call: call("tmux").success and call("tmux", action="stop").output == "stopped"
        and call("tmux", action="dance").error == "Unknown tmux action: dance"),
    Row("tmux", "`pane_width`, `pane_height`", "120 x 40; 20 to 500 x 10 to 200",
        lambda call: _started(call) and _sized(call)),
    Row("tmux", "`keys`", "text and names of keys, as tmux has them: one or a list",
        lambda call: call("tmux", action="send_keys", keys=["echo hi", "Enter"]).output == "ok"
        and not call("tmux", action="send_keys", keys=3).success),
    Row("tmux", "`block`", "waits until the shell is at its prompt again; adds `Enter`; `blocked` says so", _blocked),
    Row("tmux", "`max_wait_s`", "so long `block` waits, else `timeout`; then the shell is ended",
        lambda call: call("tmux", action="send_keys", keys="sleep 60", block=True, max_wait_s=0.2).error
        == "tmux blocked keys timed out after 0.2s"),
    Row("tmux", "`min_wait_s`", "so long `send_keys` waits if it does not block",
        lambda call: call("tmux", action="send_keys", keys=["echo w$((1+1))", "Enter"], min_wait_s=0.5).success
        and "w2" in call("tmux").output),
    Row("tmux", "`capture_entire`", "with what has left the screen at the top",
        lambda call: call("bash_stateful", command="seq 100").success
        and "\n1\n" in (done := call("tmux", capture_entire=True)).output and done.metadata["capture_entire"]
        and "\n1\n" not in call("tmux").output),
    Row("tmux", "`offset`, `max_bytes`, `reset`",
        "`stream` gives the asciicast's lines since the last call, of so many bytes; anew after `reset`", _streamed),
    Row("tmux", "`recording`", "the terminal's name; the recording itself is on our side: `slot.terminals`",
        lambda call: call("tmux", action="start").metadata["recording"] == "tools"),
)  # fmt: skip


def table() -> str:
    head = "| tool | argument or result | meaning |\n| --- | --- | --- |\n"
    return head + "".join(f"| `{row.tool}` | {row.name} | {row.meaning} |\n" for row in ROWS)
