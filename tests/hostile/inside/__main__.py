"""Runs every probe, each in a process of its own, and prints what they reached: a JSON object.

What the outside tells comes on standard input: in an argument or a variable the token would be there to be found.
"""

from __future__ import annotations

import json
import os
import sys
import traceback

sys.path.insert(0, os.path.dirname(__file__))

import host_probes  # noqa: F401
import kernel_probes  # noqa: F401
import own_probes  # noqa: F401
from probing import PROBES


def outcome(name: str, told: dict) -> list[str]:
    ours, theirs = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            found = list(PROBES[name](told))
        except BaseException:
            found = [f"a probe that failed: {traceback.format_exc()}"]
        os.write(theirs, json.dumps(found).encode()[:60_000])
        os._exit(0)
    os.close(theirs)
    with os.fdopen(ours, "rb") as said:
        text = said.read()
    os.waitpid(child, 0)
    return json.loads(text or '["a probe that said nothing"]')


told = json.load(sys.stdin)
names = sorted(PROBES, key=lambda name: name == "inodes")  # which leaves nothing as it was
print(json.dumps({name: outcome(name, told) for name in names}))
