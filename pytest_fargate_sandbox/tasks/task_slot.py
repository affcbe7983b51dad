"""A slot for an attempt at a task: as a sandbox of its own is, but that nobody is root in it who is tried there.

Root sets it up, on the machine; agents, solutions and tests are the slot's user. Nobody else is on the machine
meanwhile, since it has one slot, and where agents are no verifier ever is. A task wants its workspace, ``/tests`` and
``/logs`` where it says, which is outside of a slot: so these are given to the user, and are as the image has them again
when the next one comes.
"""

from __future__ import annotations

from pathlib import PurePosixPath
from typing import TYPE_CHECKING, Any

from pytest_fargate_sandbox.leaves.errors import RemoteFileError, SandboxError
from pytest_fargate_sandbox.tasks.own_paths import is_workspace
from pytest_fargate_sandbox.tasks.task_places import agents_place, is_shared, verifiers_place

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from pytest_fargate_sandbox.sandbox.slots.slot import Slot
    from pytest_fargate_sandbox.tasks.task_folder import TaskFolder

_FIXED = ("/tests", "/logs", "/solution", "/oracle")
_OTHERS = ("/root", "/tmp", "/var/tmp")
"""Nobody's workspace: root's own, and what the server clears itself."""

_PLAIN: Mapping[str, str | None] = {
    "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
    **dict.fromkeys(("LD_PRELOAD", "LD_LIBRARY_PATH", "LD_AUDIT", "BASH_ENV", "ENV", "GCONV_PATH", "LOCPATH")),
}
"""What an image may say of programs and libraries can lead to where a task's user writes: root looks there for none."""

_KEPT = "/.task-places"
"""Of each path that was a task's own what the image has there, for root alone."""
_NOT_FIT = 3

_LEFT_OPEN = """\
find / -maxdepth 0 -quit || { echo "anything: it has no find that could tell"; exit; }
find "$1" -xdev -path "$top" -prune -o \\
    \\( -user "$(id -u)" -o -type f -perm -0002 -o -type d -perm -0002 ! -perm -1000 \\) -print -quit 2> /dev/null
exit 0
"""
"""Looked for by him: where he cannot go he changes nothing."""

_KEEP = """\
keep() {
    for each in "$kept"/*/path; do
        [ -e "$each" ] || continue
        IFS= read -r known < "$each" || :
        case $1/ in "$known"/*) return ;; esac
        case $known/ in "$1"/*) echo "$1 has $known in it, which others had"; exit 3 ;; esac
    done
    room=$kept/$(printf %s "$1" | cksum | tr ' ' -)
    rm -rf -- "$room" && mkdir "$room"
    [ ! -e "$1" ] && [ ! -L "$1" ] || cp -a -- "$1" "$room/tree"
    printf %s "$1" > "$room/path"
}
for path in "$@"; do keep "$path"; done
"""
"""Of a path that lies in another one that is kept, there is nothing to keep. As few processes as can be: it is run for
each lease, and a process is most of what it takes."""

_OPEN = f"""\
mkdir -p -m 700 "$kept"
for each in "$kept"/*/path; do
    [ -e "$each" ] || continue
    IFS= read -r path < "$each" || :
    tree=${{each%/path}}/tree
    [ ! -e "$path" ] && [ ! -L "$path" ] || rm -rf -- "$path"
    [ ! -e "$tree" ] && [ ! -L "$tree" ] || cp -a -- "$tree" "$path"
done
{_KEEP}"""
"""All is made as it was."""

_OWNED = 'mkdir -p -- "$1"\n'
_EMPTIED = f'rm -rf -- "$1"\n{_OWNED}'
_HAND_OVER = """\
owner=$(ls -nd -- "$home" | { read -r mode links user group rest; echo "$user:$group"; })
chown -hR "$owner" "$@"
"""
"""Links themselves, and not what they lead to."""


class NotInSlots(SandboxError):
    """What is to be tried takes a sandbox of its own."""


class TaskSlot:
    """What a trial asks of its sandboxes. ``actor`` is who acts in it."""

    def __init__(self, slot: Slot) -> None:
        """As the image has it. Raises ``NotInSlots``."""
        self._slot = slot
        self._machine: Any = slot.machine
        self.actor = slot.user
        self._claimed = set(_FIXED)
        self._not_his_yet: set[str] = set()
        self._has_acted = False
        self._as_root(_OPEN, *_FIXED)

    @staticmethod
    def left_open(slot: Slot, below: str = "/") -> str:
        """Something where its user could leave what no reset finds, or nothing: the same wherever the image is."""
        found = slot.exec(
            ["/bin/sh", "-c", _LEFT_OPEN, "sh", below], env={**_PLAIN, "top": _top(slot)}, cwd="/", check=True
        )
        return str(found.stdout).partition("\n")[0]

    def exec(self, command: Any, *, user: str | None = None, **options: Any) -> Any:
        """As ``actor`` where he is named, and else as root, when he is done."""
        if user == self.actor:
            self._give()
            self._has_acted = True
            return self._slot.exec(command, **options)
        self._end_acting()
        return self._machine.exec(command, user=user, env=_PLAIN, **options)

    # --- set up -------------------------------------------------------------------------------------------------------

    def claim(self, path: str, *, emptied: bool = False) -> None:
        """A directory that is there and his, and that is as it was when somebody else comes. Raises ``NotInSlots``."""
        self._end_acting()
        self._keep(path, then=_EMPTIED if emptied else _OWNED)
        self._not_his_yet.add(path)

    def upload(self, local: Any, remote: str) -> None:
        self._end_acting()
        if remote.startswith("/tmp/"):
            self._slot.upload(local, remote)  # it goes with all that is his there
            return
        self._keep(remote)
        self._machine.upload(local, remote)
        self._not_his_yet.add(remote)

    def load(self, snapshot: Any, path: str, **options: Any) -> None:
        """By him: what an agent left brings no rights along that he does not have."""
        self._give()
        self._slot.load(snapshot, path, **options)

    def _keep(self, path: str, then: str = "") -> None:
        is_known = _is_in(path, self._claimed)
        if not is_known and not self._may_be_his(path):
            raise NotInSlots(f"{path} cannot be a task's own in a slot")
        script = ("" if is_known else _KEEP) + then
        if script:
            self._as_root(script, path)
        self._claimed.add(path)

    def _may_be_his(self, path: str) -> bool:
        others = (*_OTHERS, _top(self._slot))
        if ".." in path.split("/") or "\n" in path or not is_workspace(path):
            return False
        return not any(_is_in(path, [each]) or _is_in(each, [path]) for each in others)

    def _give(self) -> None:
        if self._not_his_yet:
            self._as_root(_HAND_OVER, *sorted(self._not_his_yet))
            self._not_his_yet.clear()

    def _as_root(self, script: str, *paths: str) -> None:
        env = {**_PLAIN, "kept": _KEPT, "home": self._slot.home}
        done = self._machine.exec(["/bin/sh", "-ec", f"umask 022\n{script}", "sh", *paths], env=env, cwd="/")
        if done.return_code:
            told = (done.stdout or done.stderr).strip()
            raise NotInSlots(told if done.return_code == _NOT_FIT else f"no slot can be set up for it: {told}")

    # --- what he left -------------------------------------------------------------------------------------------------

    def save(self, path: str, **options: Any) -> Any:
        self._end_acting()
        return self._slot.save(path, **options)

    def download(self, remote: str, local: Any, **options: Any) -> None:
        self._end_acting()
        self._slot.download(remote, local, **options)

    @property
    def artifacts(self) -> TaskSlot:
        return self

    def read(self, path: str, encoding: Any, max_bytes: int) -> Any:
        """As of ``artifacts``, but of no link: root reads here."""
        self._end_acting()
        if self._machine.stat(path, follow=False).kind != "file":
            raise RemoteFileError(f"{path} is no file", path=path)
        return self._machine.artifacts.read(path, encoding, max_bytes)

    def _end_acting(self) -> None:
        """Nothing of his runs any more. What he left where the task wants it stays there."""
        if self._has_acted:
            self._has_acted = False
            self._slot.reset()

    def stop(self) -> None:
        self._slot.stop()

    # --- of its machine -----------------------------------------------------------------------------------------------

    @property
    def image(self) -> str:
        return self._slot.image

    @property
    def task_arn(self) -> str | None:
        return self._slot.task_arn

    @property
    def cfg(self) -> Any:
        return self._machine.cfg

    @property
    def aws(self) -> Any:
        return self._machine.aws

    def stat(self, path: str, *, follow: bool) -> Any:
        return self._machine.stat(path, follow=follow)

    @property
    def ssh_tunnel(self) -> Any:
        return self._machine.ssh_tunnel

    def reconnect_tunnel(self) -> None:
        self._machine.reconnect_tunnel()


def claim(sandbox: Any, path: str, *, emptied: bool = False) -> None:
    """A directory that is there, with nothing in it if so said, and that whoever acts may write."""
    if isinstance(sandbox, TaskSlot):
        sandbox.claim(path, emptied=emptied)
        return
    if emptied:
        sandbox.exec(["rm", "-rf", "--", path], check=True)
    sandbox.exec(["mkdir", "-p", "--", path], check=True)


def who_acts(sandbox: Any, said: str | int | None) -> str | None:
    """The user of commands of whom ``said`` is the user."""
    if said is not None:
        return str(said)
    return sandbox.actor if isinstance(sandbox, TaskSlot) else None


def fits_slots(folder: TaskFolder) -> bool:
    """Whether a slot may do: many have its image, nobody is asked for by name, nothing goes on beside its tests."""
    config = folder.config
    says_more = config.steps or config.verifier.collect or config.environment.healthcheck or is_shared(folder, None)
    if says_more or config.agent.user is not None or config.verifier.user is not None:
        return False
    return not (agents_place(folder).context or verifiers_place(folder, None).context)


def _top(slot: Slot) -> str:
    """Where all slots are."""
    return "/".join(slot.home.split("/")[:2])


def _is_in(path: str, directories: Iterable[str]) -> bool:
    here = PurePosixPath(path)
    return any(here.is_relative_to(each) for each in directories)
