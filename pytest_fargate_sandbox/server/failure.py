"""What could not be done, as the two ends tell each other: a kind for programs, a sentence for people."""

import json

STATUS_OF_KIND = {
    "bad_request": 400,
    "unsafe_archive": 400,
    "checksum": 400,
    "unauthorized": 401,
    "permission": 403,
    "not_found": 404,
    "unknown_user": 404,
    "unknown_command": 404,
    "unknown_verb": 404,
    "is_directory": 409,
    "not_directory": 409,
    "exists": 409,
    "forgotten": 410,
    "closed": 410,
    "slot_gone": 410,
    "slot_retired": 410,
    "no_isolation": 501,
    "too_large": 413,
    "head_too_large": 431,
    "internal": 500,
    "os_error": 500,
    "unreachable": 502,
    "too_many": 503,
    "stopping": 503,
    "no_space": 507,
}

_KIND_OF_ERRNO = {
    "ENOENT": "not_found",
    "EACCES": "permission",
    "EPERM": "permission",
    "EROFS": "permission",
    "EISDIR": "is_directory",
    "ENOTDIR": "not_directory",
    "EEXIST": "exists",
    "ENOTEMPTY": "exists",
    "ENAMETOOLONG": "too_large",
    "E2BIG": "too_large",
    "ENOSPC": "no_space",
    "EDQUOT": "no_space",
    "EINVAL": "bad_request",
}


_LONGEST = 24 * 1024
"""Bytes of one as it is told, in a trailer as well: it may name what is longer than any name the kernel takes."""

_CUT = 900
"""Characters of its message and of its path, each of which is twelve bytes at most."""


class Failure(Exception):
    """Something that could not be done: a kind for programs, a sentence for people."""

    def __init__(self, kind: str, message: str, errno: "int | None" = None, path: str = "") -> None:
        Exception.__init__(self, message)
        self.kind = kind
        self.message = message
        self.errno = errno
        self.path = path

    @classmethod
    def of_os_error(cls, error: OSError, path: str = "") -> "Failure":
        import errno as numbers

        kind = _KIND_OF_ERRNO.get(numbers.errorcode.get(error.errno or 0, ""), "os_error")
        sentence = error.strerror or str(error)
        return cls(kind, "%s: %s" % (sentence, path) if path else sentence, error.errno, path)

    @property
    def status(self) -> int:
        return STATUS_OF_KIND.get(self.kind, 500)

    def to_json(self) -> bytes:
        text = self._json(self.message, self.path)
        return text if len(text) <= _LONGEST else self._json(self.message[:_CUT] + " ...", self.path[:_CUT])

    def _json(self, message: str, path: str) -> bytes:
        value = {"kind": self.kind, "message": message, "errno": self.errno, "path": path}
        return json.dumps({"error": value}).encode("ascii")

    @classmethod
    def from_json(cls, text: "bytes | str") -> "Failure":
        try:
            value = json.loads(text if isinstance(text, str) else text.decode("utf-8"))["error"]
            kind, message, errno, path = value["kind"], value["message"], value["errno"], value["path"]
            if not all(isinstance(field, str) for field in (kind, message, path)):
                raise TypeError
            return cls(kind, message, errno if isinstance(errno, int) else None, path)
        except (ValueError, KeyError, TypeError, RecursionError):
            return cls("internal", "an answer that is no failure of ours: %r" % text[:200])
