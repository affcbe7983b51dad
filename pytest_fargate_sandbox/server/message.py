"""How a message is made, checked, and written as a line of JSON. ``protocol`` has the messages themselves."""

import json

from pytest_fargate_sandbox.server.failure import Failure

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any


class _Required:
    """The default of a field that has none."""


REQUIRED = _Required()


class Message:
    """A JSON object with exactly these fields: ``FIELDS`` gives each its types and its default."""

    VERB = ""
    IS_OF_FILES = False
    """Whether files are read or written for who asks: with his own rights, in a slot."""
    LESSON = ""
    """What a server must have learnt that is asked this: one of ``bundle.LESSONS``."""
    LONGEST = 64 * 1024
    """As one line of JSON; what a client may say stands with its verbs."""

    FIELDS: "dict[str, tuple[Any, Any]]" = {}

    def __init__(self, **values: "Any") -> None:
        for name, (types, default) in self.FIELDS.items():
            value = values.pop(name, default)
            if value is REQUIRED:
                raise Failure("bad_request", "%s: the field %r is missing" % (self.VERB, name))
            if not fits(value, types):
                raise Failure("bad_request", "%s: the field %r cannot be %.80r" % (self.VERB, name, value))
            setattr(self, name, value)
        if values:
            known = ", ".join(sorted(self.FIELDS))
            raise Failure("bad_request", "%s: unknown field %r; known are: %s" % (self.VERB, min(values), known))
        self.check()

    def check(self) -> None:
        """Refuse what the types alone cannot."""

    def to_json(self) -> bytes:
        return json.dumps({name: getattr(self, name) for name in self.FIELDS}).encode("ascii") + b"\n"

    @classmethod
    def from_json(cls, line: bytes) -> "Any":
        try:
            value = json.loads(line.decode("utf-8"))
        except (ValueError, RecursionError) as error:
            raise Failure("bad_request", "%s: not JSON: %s" % (cls.VERB, error)) from None
        if not isinstance(value, dict):
            raise Failure("bad_request", "%s: a JSON object is wanted" % cls.VERB)
        return cls(**value)


def fits(value: "Any", types: "Any") -> bool:
    if isinstance(value, bool):
        return bool in (types if isinstance(types, tuple) else (types,))
    if not isinstance(value, types):
        return False
    if isinstance(value, str):
        return _is_text(value)
    if isinstance(value, int):
        return abs(value) < 1 << 63
    if isinstance(value, float):
        return value == value and abs(value) < 1e15
    if isinstance(value, list):
        return all(isinstance(item, str) and _is_text(item) for item in value)
    if isinstance(value, dict):
        return all(_is_variable(name, text) for name, text in value.items())
    return True


def _is_variable(name: str, text: "Any") -> bool:
    plain = bool(name) and "=" not in name and _is_text(name)
    return plain and (text is None or (isinstance(text, str) and _is_text(text)))


def _is_text(text: str) -> bool:
    """That the kernel takes: JSON may have NULs, and halves of characters."""
    try:
        return b"\0" not in text.encode("utf-8", "surrogateescape")
    except UnicodeEncodeError:
        return False
