"""Code that wants into the memory of the server that runs it; what it can do is what it says."""

from __future__ import annotations

from typing import Any

NOTHING = "looked\n"

_LOOK = """
pid=$1
for file in mem environ maps auxv; do
  (exec 3< /proc/$pid/$file) 2> /dev/null && echo can open $file
  (head -c 1 /proc/$pid/$file > /dev/null) 2> /dev/null && echo can read $file
done
(exec 3>> /proc/$pid/mem) 2> /dev/null && echo can write mem
for link in exe cwd root fd/0; do
  [ -e /proc/$pid/$link ] && echo can follow $link
done
echo looked
"""


def seen_by(sandbox: Any, pid: object) -> str:
    """What a command of this sandbox, or of this client, can do to a process there."""
    return str(sandbox.exec(f"set -- {pid}; {_LOOK}").check().stdout)
