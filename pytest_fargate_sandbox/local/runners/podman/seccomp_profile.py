"""podman's own seccomp profile, made as strict as the namespaces runner's filter, which is Docker's and Fargate's.

podman's lets a container nest others: user namespaces with all capabilities in them, mounts, key rings; and AF_VSOCK,
by which a container speaks with the hypervisor (https://github.com/containers/common/blob/main/pkg/seccomp).
"""

from __future__ import annotations

import errno
import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.local.runners.namespaces import system_calls

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

_USUAL_PLACES = ("/etc/containers/seccomp.json", "/usr/share/containers/seccomp.json")
_REWRITTEN = frozenset({"clone", "clone3", "socket", "socketcall"})
"""``socketcall`` is how 32-bit programs make sockets of any family: its arguments are out of a filter's sight."""


def seccomp_options(info: Mapping[str, Any], directory: Path) -> list[str]:
    """For ``run`` and ``build``: a profile written to ``directory``. None where podman has none to begin with."""
    security = info["host"].get("security", {})
    own = security.get("seccompProfilePath")
    if not own or not security.get("seccompEnabled"):
        return []
    profile = _profile_of(own)
    refused = system_calls.REFUSED | _REWRITTEN
    profile["syscalls"] = [*_without(profile["syscalls"], refused), *_rules()]
    file = directory / "seccomp.json"
    file.write_text(json.dumps(profile), encoding="utf-8")
    return ["--security-opt", f"seccomp={file}"]


def _profile_of(own: str) -> dict[str, Any]:
    """podman's. Who has it filter nothing for what he runs himself (``unconfined``) has not asked for that here."""
    place = next((place for place in (own, *_USUAL_PLACES) if Path(place).is_file()), own)
    profile: dict[str, Any] = json.loads(Path(place).read_text(encoding="utf-8"))
    return profile


def _without(rules: Sequence[dict[str, Any]], refused: frozenset[str]) -> Iterator[dict[str, Any]]:
    for rule in rules:
        names = [name for name in rule["names"] if name not in refused]
        if names:
            yield {**rule, "names": names}


def _rules() -> Iterator[dict[str, Any]]:
    yield _rule(sorted(system_calls.REFUSED), errno.EPERM)
    yield _rule(["clone3"], errno.ENOSYS)  # its flags are out of sight; libc falls back on clone
    yield _rule(["clone"], 0, (0, "MASKED_EQ", system_calls.NAMESPACE_FLAGS))
    # What is not listed here fails with ENOSYS, podman's own default: libseccomp takes no other answer for 32 bits.
    unlisted = {*system_calls.REFUSED_FAMILIES.values(), system_calls.NETLINK}
    for family in set(range(system_calls.FIRST_UNKNOWN_FAMILY)) - unlisted:
        yield _rule(["socket"], 0, (0, "EQ", family))
    netlink = (0, "EQ", system_calls.NETLINK)
    yield _rule(["socket"], 0, netlink, (2, "NE", system_calls.NETLINK_AUDIT))
    yield _rule(["socket"], errno.EINVAL, netlink, (2, "EQ", system_calls.NETLINK_AUDIT))


def _rule(names: list[str], error: int, *conditions: tuple[int, str, int]) -> dict[str, Any]:
    """All of those calls are allowed, without ``error``, or fail with it."""
    arguments = [
        {"index": index, "value": value, "valueTwo": 0, "op": f"SCMP_CMP_{comparison}"}
        for index, comparison, value in conditions
    ]
    answer = {"action": "SCMP_ACT_ERRNO", "errnoRet": error} if error else {"action": "SCMP_ACT_ALLOW"}
    return {"names": names, "args": arguments, **answer}
