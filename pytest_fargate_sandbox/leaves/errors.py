"""The tree of errors. Each says what happened, where, and what to do, and carries its context as attributes.

An error shared between processes is a JSON file, so each has ``to_dict`` and ``SandboxError.from_dict``.

    SandboxError (RuntimeError)
    ├── ConfigError (ValueError)            a setting is wrong; nothing was launched
    ├── ImageBuildError                     an image could not be built
    ├── StartError                          a sandbox did not come up
    │   └── StartTimeout (TimeoutError)     in the time that it was given
    ├── TransportError (ConnectionError)    the tunnel or the server is out of reach, or the server is not to be trusted
    ├── SandboxLost                         the task died under us
    ├── ExecFailed                          a checked command returned non-zero
    ├── ExecTimeout (TimeoutError)          a checked command ran out of time
    ├── RemoteFileError                     a file operation in the sandbox failed
    │   ├── RemoteFileNotFound (FileNotFoundError)
    │   ├── RemotePermissionError (PermissionError)
    │   └── RemoteIsADirectory (IsADirectoryError)
    ├── UnknownUser                         a command was to be run as somebody who is not there
    ├── FileTimeout (TimeoutError)          a file operation took longer than its caller allowed
    ├── Cancelled                           its caller gave it up
    ├── UnsafeArchiveError                  an archive wanted to write outside its folder
    ├── TaskFolderError (ValueError)        a benchmark task's folder is not what it should be
    ├── NoVerdict                           a verifier gave no reward, or none that is one
    └── SandboxBroken                       an agent broke the sandbox that it was in
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from pytest_fargate_sandbox.leaves.printable import printable

if TYPE_CHECKING:
    from collections.abc import Mapping

    from typing_extensions import Self


_HOME = "pytest_fargate_sandbox"
"""Where users import errors from, and so what stands before their names wherever an error is shown."""


class SandboxError(RuntimeError):
    """The root. ``context`` holds JSON values only; each of its keys is an attribute as well."""

    __module__ = _HOME
    _by_name: ClassVar[dict[str, type[SandboxError]]] = {}

    def __init_subclass__(cls, **kwargs: Any) -> None:
        super().__init_subclass__(**kwargs)
        SandboxError._by_name[cls.__name__] = cls
        if cls.__module__ == __name__:
            cls.__module__ = _HOME

    def __new__(cls, *_args: Any, **_context: Any) -> Self:
        # RuntimeError would be asked to make what is an OSError as well, and refuses.
        return (OSError if issubclass(cls, OSError) else RuntimeError).__new__(cls)

    def __init__(self, message: str, **context: Any) -> None:
        # Not super().__init__(): OSError, which some of us are as well, would read the arguments as errno and text.
        self.message = printable(message)
        self.args = (self.message,)
        self.context = context
        if isinstance(self, OSError):
            # OSError has this attribute already, so __getattr__ is never asked for it.
            vars(OSError)["errno"].__set__(self, context.get("errno"))

    def __getattr__(self, name: str) -> Any:
        try:
            return self.__dict__["context"][name]
        except KeyError:
            raise AttributeError(f"{type(self).__name__} has no attribute {name!r}") from None

    def __str__(self) -> str:
        return self.message

    def __reduce__(self) -> tuple[Any, ...]:
        return SandboxError.from_dict, (self.to_dict(),)

    def to_dict(self) -> dict[str, Any]:
        return {"type": type(self).__name__, "message": self.message, "context": self.context}

    @staticmethod
    def from_dict(data: Mapping[str, Any]) -> SandboxError:
        kind = SandboxError._by_name.get(data["type"], SandboxError)
        error = kind.__new__(kind)
        SandboxError.__init__(error, data["message"], **data["context"])
        return error


class ConfigError(SandboxError, ValueError):
    """A setting is wrong. ``key``, ``value`` and ``allowed`` say which."""

    def __init__(self, message: str, *, key: str = "", value: Any = None, allowed: str = "") -> None:
        super().__init__(message, key=key, value=value if _is_plain(value) else repr(value), allowed=allowed)


class ImageBuildError(SandboxError):
    """An image could not be built: the failed ``phase``, the end of its log, and a ``link`` to the whole of it."""

    def __init__(self, message: str, *, phase: str = "", log_tail: str = "", link: str = "") -> None:
        super().__init__(_with_log(message, log_tail), phase=phase, log_tail=log_tail, link=link)


class StartError(SandboxError):
    """A sandbox did not come up. ``transient`` tells whether trying again can help."""

    def __init__(
        self,
        message: str,
        *,
        phase: str = "",
        cause: str = "unknown",
        reason: str = "",
        exit_codes: Mapping[str, int | None] | None = None,
        log_tail: str = "",
        transient: bool = False,
        task_arn: str = "",
    ) -> None:
        super().__init__(
            _with_log(message, log_tail),
            phase=phase,
            cause=cause,
            reason=reason,
            exit_codes=dict(exit_codes or {}),
            log_tail=log_tail,
            transient=transient,
            task_arn=task_arn,
        )


class StartTimeout(StartError, TimeoutError):
    """A sandbox did not come up in the time that it was given."""


MISBEHAVED = "misbehaved"
"""The ``kind`` of a ``TransportError`` about an answer that no honest server gives."""


class TransportError(SandboxError, ConnectionError):
    """The tunnel or the server behind it is out of reach, while nothing says that the task is dead.

    Or what answers there breaks its own rules: then ``kind`` is ``misbehaved``, and trying again is of no use.
    """


class SandboxLost(SandboxError):
    """The task died under us; ``cause`` is one of ``names.Cause``."""

    def __init__(
        self,
        message: str,
        *,
        cause: str = "unknown",
        reason: str = "",
        exit_codes: Mapping[str, int | None] | None = None,
        log_tail: str = "",
        task_arn: str = "",
    ) -> None:
        super().__init__(
            _with_log(message, log_tail),
            cause=cause,
            reason=reason,
            exit_codes=dict(exit_codes or {}),
            log_tail=log_tail,
            task_arn=task_arn,
        )


class ExecFailed(SandboxError):
    """A command under ``check`` returned non-zero; ``stdout`` and ``stderr`` are the ends of its output."""


class ExecTimeout(SandboxError, TimeoutError):
    """A command under ``check`` ran out of time; ``stdout`` and ``stderr`` are the ends of its output up to then."""


class UnknownUser(SandboxError):
    """There is no such user or group in the sandbox."""


class FileTimeout(SandboxError, TimeoutError):
    """A file operation took longer than the ``timeout_sec`` that it was given."""


class Cancelled(SandboxError):
    """It was given up by its caller: a command and all that it has started were ended, a file is as it was."""


class RemoteFileError(SandboxError):
    """A file operation in the sandbox failed at ``path``; ``kind`` is the server's word for it.

    What is ``too_large`` has its ``size``, where that is known.
    """

    def __init__(
        self, message: str, *, path: str = "", kind: str = "", errno: int | None = None, size: int | None = None
    ) -> None:
        super().__init__(message, path=path, kind=kind, errno=errno, **({} if size is None else {"size": size}))


class RemoteFileNotFound(RemoteFileError, FileNotFoundError):
    """There is no such file or directory in the sandbox."""


class RemotePermissionError(RemoteFileError, PermissionError):
    """The sandbox's user may not do that."""


class RemoteIsADirectory(RemoteFileError, IsADirectoryError):
    """A directory stands where a file was meant."""


class UnsafeArchiveError(SandboxError):
    """A member of an archive wanted to leave its folder; nothing was changed."""

    def __init__(self, message: str, *, member: str = "") -> None:
        super().__init__(message, member=member)


class TaskFolderError(SandboxError, ValueError):
    """A benchmark task's folder is not what it should be: ``path``, ``line`` and ``column``, where they are known."""

    def __init__(self, message: str, *, path: str = "", line: int = 0, column: int = 0) -> None:
        super().__init__(message, path=path, line=line, column=column)


class NoVerdict(SandboxError):
    """A verifier gave no reward, or none that is one: nobody knows whether the task was solved. ``log``: its output."""

    def __init__(self, message: str, *, log: str = "") -> None:
        super().__init__(_with_log(message, log), log=log)


class SandboxBroken(SandboxError):
    """An agent broke the sandbox that it was in: that is its own doing, and no trouble of the infrastructure's."""


def _with_log(message: str, log_tail: str) -> str:
    """Where the message has all that the log says, it is not said again."""
    return message if log_tail.strip() in message else f"{message}\n--- log (end) ---\n{log_tail.rstrip()}"


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool))
