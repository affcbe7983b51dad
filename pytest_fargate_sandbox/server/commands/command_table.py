"""All commands of a sandbox, by the ids that the client chose, and how one is begun."""

import collections
import os
import threading
import time

from pytest_fargate_sandbox.leaves.names import (
    ENV_PRELOAD,
    ENV_SERVER_PORT,
    ENV_TOKEN_SHA256,
    ENV_TTL,
    NO_PRELOAD,
)
from pytest_fargate_sandbox.server.commands.command import Command, code_of
from pytest_fargate_sandbox.server.commands.command_user import CommandUser
from pytest_fargate_sandbox.server.commands.ended_commands import FETCHED, GONE, EndedCommands
from pytest_fargate_sandbox.server.commands.last_words import LastWords
from pytest_fargate_sandbox.server.commands.oom_counter import OomCounter
from pytest_fargate_sandbox.server.commands.process_tree import AllProcesses, Marks
from pytest_fargate_sandbox.server.commands.pump import GRACE_SEC, Pump
from pytest_fargate_sandbox.server.commands.reaper import Reaper
from pytest_fargate_sandbox.server.commands.spawning import CannotRun, Program, arguments_of, spawn
from pytest_fargate_sandbox.server.commands.terminal_places import terminals_of, who_goes
from pytest_fargate_sandbox.server.commands.waker import Waker
from pytest_fargate_sandbox.server.failure import Failure
from pytest_fargate_sandbox.server.protocol import CODE_SIGNAL, STDERR, STDOUT, encoded
from pytest_fargate_sandbox.server.terminal_protocol import MAX_TERMINALS
from pytest_fargate_sandbox.server.work_dir import offer_python

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any, NoReturn

    from pytest_fargate_sandbox.server.commands.pipes import Pipes
    from pytest_fargate_sandbox.server.commands.pseudo_terminal import PseudoTerminal

MAX_BACKGROUND = 128
"""Commands that may run in the background at once."""

_KEEP_IDS = 10000
_LAST_WORDS_SEC = 0.5
"""What who listens to a command has at least, once all processes have ended."""

_DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
_KILLED = CODE_SIGNAL + 9


class Commands:
    """Begins commands, keeps them until they are acknowledged or old, and never runs an id twice."""

    def __init__(self, work_dir: "bytes | None") -> None:
        self.reaper = Reaper()
        self.last_words = LastWords()
        self._marks = Marks()
        self._oom = OomCounter()
        self.work_dir = work_dir
        self._lock = threading.Lock()
        self._known: "collections.OrderedDict[str, Command]" = collections.OrderedDict()
        self._ended = EndedCommands()
        self._forgotten: "collections.OrderedDict[str, str]" = collections.OrderedDict()
        self._environment = _inherited(work_dir)
        self._is_closing = False

    def configure(self, environment: "dict[str, str | None]") -> None:
        self._environment = _merged(self._environment, environment)

    # --- by id --------------------------------------------------------------------------------------------------
    def claim(self, request: "Any", tenant: "CommandUser | None" = None) -> "tuple[Command, bool]":
        """The command of this id, and whether it is new and the caller's to begin, in whose slot it is."""
        with self._lock:
            if request.id in self._known:
                return self._known[request.id], False
            self._refuse_what_is_gone(request.id)
            self.refuse_if_closing()
            user = CommandUser(request.user) if request.user is not None else tenant
            if tenant and user is not tenant:
                raise Failure(
                    "permission", "in a slot all commands run as the slot's own user, not as %s" % request.user
                )
            command = Command(request.id, self.work_dir, user)
            self._known[request.id] = command
            return command, True

    def refuse_if_closing(self) -> None:
        if self._is_closing:
            raise Failure("stopping", "the sandbox is being stopped")

    def find(self, command_id: str) -> Command:
        with self._lock:
            if command_id in self._known:
                return self._known[command_id]
            self._refuse_what_is_gone(command_id)
        raise Failure("unknown_command", "no command has the id %s" % command_id)

    def forget(self, command_id: str) -> None:
        """The client has it all. What still runs stays."""
        with self._lock:
            command = self._known.get(command_id)
            if command and command.ended:
                self._drop(command, FETCHED)

    def drop_all_of(self, user: CommandUser) -> None:
        """Those that were begun in the name of this very tenant."""
        with self._lock:
            for command in [command for command in self._known.values() if command.user is user]:
                self._drop(command, "was ended when its slot was given back")

    def _end(self, command: Command, return_code: int) -> None:
        command.end(return_code)
        with self._lock:
            if command.id in self._known:  # else it was fetched already
                for gone in self._ended.add(command):
                    self._drop(gone, GONE)

    def _drop(self, command: Command, why: str) -> None:
        del self._known[command.id]
        self._ended.remove(command)
        self._forgotten[command.id] = why
        if len(self._forgotten) > _KEEP_IDS:
            self._forgotten.popitem(last=False)
        command.drop()

    def _refuse_what_is_gone(self, command_id: str) -> None:
        if command_id in self._forgotten:
            raise Failure("forgotten", "the command %s %s" % (command_id, self._forgotten[command_id]))

    # --- running ------------------------------------------------------------------------------------------------
    def spawn(self, command: Command, request: "Any", ends: "Pipes | PseudoTerminal") -> None:
        """Begin it and leave it to a thread of its own."""
        with self._lock:
            background = sum(1 for known in self._known.values() if not known.ended)
        if background > MAX_BACKGROUND:
            sentence = "%d commands are running; end some before another is started" % (background - 1)
            self._abandon(command, Failure("too_many", sentence))
        waker = Waker()
        try:
            pump = self.begin(command, request, waker, ends)
        except Failure:
            waker.close()
            raise
        if pump is None or command.tree is None:
            waker.close()
            return
        driver = threading.Thread(target=self._drive_alone, args=(command, pump, waker), name=command.id, daemon=True)
        try:
            driver.start()
        except RuntimeError:  # No thread to be had. Nobody would ever read what the command says.
            command.tree.kill()
            self._drive_alone(command, pump, waker)
            raise Failure("too_many", "no thread is left for another command") from None

    def terminals(self) -> int:
        """How many there are."""
        with self._lock:
            return len(terminals_of(self._known.values()))

    def put_on_terminal(self, command: Command, columns: int, rows: int) -> "PseudoTerminal":
        """In place of pipes."""
        from pytest_fargate_sandbox.server.commands.pseudo_terminal import PseudoTerminal

        with self._lock:
            loser = who_goes(terminals_of(self._known.values()))
            if loser:
                self._drop(loser, "was ended to make room for another terminal: %d are the most" % MAX_TERMINALS)
        if loser and loser.tree and not loser.ended:
            loser.tree.kill()
        terminal = PseudoTerminal(columns, rows, command.user, self._path(command, b"notes"))
        command.script = self._path(command, b"sh")
        command.put_on(terminal)
        return terminal

    def stop_all(self, patience: float) -> None:
        """TERM to all processes of all commands, KILL to those that are left; who listens to them hears the end."""
        with self._lock:
            self._is_closing = True
        end = time.monotonic() + patience
        all_processes = AllProcesses()
        all_processes.ask_to_end()
        while all_processes.members() and time.monotonic() < end:
            time.sleep(0.02)
        all_processes.kill(GRACE_SEC)
        self.last_words.wait(max(_LAST_WORDS_SEC, end - time.monotonic()))

    def begin(self, command: Command, request: "Any", waker: Waker, ends: "Pipes | PseudoTerminal") -> "Pump | None":
        """A pump to drive it with, or None if it has ended already: there was no such program."""
        command.oom_before = self._oom.read()
        try:
            ends.open()
            command.waker = waker
            if ends.stdin is not None:
                command.intake.open(ends.stdin, waker)
            program = self._program(command, request)
            program.before = ends.before
            pump = Pump(command, ends.outputs, waker, request.timeout)
            tree = spawn(program, ends.for_child, self._marks, self.reaper, pump.on_exit)
            if command.user:
                command.user.has_begun(tree)
            command.bear(tree)
        except CannotRun as reason:
            ends.close_ours()
            command.say(STDOUT if command.terminal else STDERR, b"%s\n" % encoded(reason.sentence))
            command.could_not_begin = True
            self._end(command, reason.code)
            return None
        except (Failure, OSError) as error:
            ends.close_ours()
            self._abandon(command, error if isinstance(error, Failure) else Failure.of_os_error(error))
        finally:
            ends.close_theirs()
        return pump

    def _program(self, command: Command, request: "Any") -> Program:
        environment = dict(self._environment)
        if command.user:
            environment.update(command.user.environment())

        def script(line: bytes) -> bytes:
            command.script = self._write_script(command, line)
            return command.script

        arguments = arguments_of(request.command, script)
        directory = encoded(request.cwd) if request.cwd is not None else None
        return Program(arguments, _merged(environment, request.env), directory, command.user)

    def _write_script(self, command: Command, line: bytes) -> bytes:
        path = self._path(command, b"sh")
        if path is None:
            raise Failure("too_large", "so long a command goes by file, and no directory here can be written")
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o400)
        with os.fdopen(file, "wb") as script:
            script.write(line)
            if command.user and not command.user.is_ours:
                os.fchown(script.fileno(), command.user.uid, command.user.gid)
        return path

    def _path(self, command: Command, suffix: bytes) -> "bytes | None":
        """Where a file of the command's own would lie."""
        return os.path.join(self.work_dir, b"%s.%s" % (command.id.encode(), suffix)) if self.work_dir else None

    def _abandon(self, command: Command, failure: Failure) -> "NoReturn":
        """It never ran, so its id is free again."""
        with self._lock:
            self._known.pop(command.id, None)
        command.fail(failure)
        raise failure

    def _drive_alone(self, command: Command, pump: Pump, waker: Waker) -> None:
        self.drive(command, pump)
        waker.close()

    def drive(self, command: Command, pump: Pump) -> None:
        """Stay with it to its end."""
        status = pump.run()
        code = _KILLED if status is None else code_of(status)
        if status is None and command.tree:
            self.reaper.disown(command.tree.leader)
        command.oom_kills = max(0, self._oom.read() - command.oom_before)
        if command.oom_kills:
            command.oom_killed = code == _KILLED
            command.memory_limit = self._oom.limit()
        self._end(command, code)


def _inherited(work_dir: "bytes | None") -> "dict[bytes, bytes]":
    """What the image gave us, without what only the server should know."""
    environment = dict(os.environb)
    for name in (ENV_SERVER_PORT, ENV_TOKEN_SHA256, ENV_TTL):
        environment.pop(encoded(name), None)
    preloaded = environment.pop(encoded(ENV_PRELOAD), b"")
    if environment.get(b"LD_PRELOAD") == encoded(NO_PRELOAD):
        del environment[b"LD_PRELOAD"]
    if preloaded:
        environment[b"LD_PRELOAD"] = preloaded
    path = os.environ.get("PATH") or _DEFAULT_PATH
    environment[b"PATH"] = encoded(offer_python(work_dir, path))
    environment.setdefault(b"HOME", _home())
    return environment


def _home() -> bytes:
    import pwd

    try:
        return encoded(pwd.getpwuid(os.geteuid()).pw_dir)
    except KeyError:
        return b"/"


def _merged(base: "dict[bytes, bytes]", changes: "dict[str, str | None]") -> "dict[bytes, bytes]":
    merged = dict(base)
    for name, value in changes.items():
        if value is None:
            merged.pop(encoded(name), None)
        else:
            merged[encoded(name)] = encoded(value)
    return merged
