"""Requests that somebody got wrong, on purpose or not: made of valid ones, and the same again for the same seed."""

from __future__ import annotations

import json
import random
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

_NUMBERS = (0, -1, 1, 2**31, 2**63, -(2**63) - 1, 10**400, 1e308, -0.0, float("nan"), float("inf"))
_TEXTS = (
    "", "\0", "\ud800", "\U0001f4a9" * 40, "../" * 30, "/", "/" + "x" * 5000, "%00%0d%0a", "\r\nX: y", "{}",
    "a" * 70_000, "-rf", "$(id)", "é" * 300, "\x1b[2J", "NaN", "1e999",
    "arn:aws:ecs:us-east-1:123456789012:task/" + "f" * 32,
)  # fmt: skip
_PIECES = (
    b"\0", b"\r", b"\n", b"\r\n", b"\r\n\r\n", b"\n\n", b" ", b"\t", b":", b"\xff", b"\xc0\x80", b"%", b"%2e%2e/",
    b"?&=", b"HTTP/1.1", b"0\r\n\r\n", b"ffffffff\r\n", b"-1\r\n", b"Content-Length: 5\r\n",
    b"Transfer-Encoding: chunked\r\n", b"Expect: 100-continue\r\n", b"Connection: close\r\n", b"x" * 3000,
)  # fmt: skip
_LETTERS = '\0\n"/\N{RIGHT-TO-LEFT OVERRIDE}\U0001f4a9\uffff'
_HEADERS = (
    b"A: b", b"A : b", b": b", b"A", b" folded", b"A: \xff\xfe", b"Host: x", b"Cookie: " + b"c" * 9000, b"A:" * 40,
)  # fmt: skip
_ENDS = (b"0\r\n\r\n", b"0\r\nsha256: 00\r\n\r\n", b"", b"0\r\n" + b"T: x\r\n" * 4000)
_DEPTHS = (50, 900, 20_000)
_MOST_HEADERS = 3000


class Mutants:
    """``seed`` decides about everything."""

    def __init__(self, seed: str) -> None:
        self.random = random.Random(seed)

    def chance(self, share: float) -> bool:
        return self.random.random() < share

    # --- values ----------------------------------------------------------------------------------------------------
    def value(self, valid: Any) -> Any:
        """``valid``, but something in it is otherwise."""
        if isinstance(valid, dict) and valid and not self.chance(0.2):
            return self._within(dict(valid))
        if isinstance(valid, list) and valid and not self.chance(0.2):
            changed = list(valid)
            place = self.random.randrange(len(changed))
            changed[place] = self.value(changed[place])
            return changed * self.random.choice((1, 1, 1, 40))
        return self._anything(valid)

    def _within(self, fields: dict[str, Any]) -> dict[str, Any]:
        name = self.random.choice(list(fields))
        how = self.random.randrange(6)
        if how == 0:
            del fields[name]
        elif how == 1:
            fields[self.random.choice(_TEXTS)[:200]] = fields[name]
        else:
            fields[name] = self.value(fields[name])
        return fields

    def _anything(self, valid: Any) -> Any:
        kinds: tuple[Callable[[], Any], ...] = (
            lambda: self.random.choice(_NUMBERS),
            lambda: self.random.choice(_TEXTS),
            lambda: self.random.choice((None, True, False, [], {}, [[]], {"": {}})),
            lambda: [valid] * self.random.choice((1, 2, 300)),
            lambda: {"x": valid},
            lambda: str(valid),
            lambda: self._garbled(str(valid)),
        )
        return self.random.choice(kinds)()

    def _garbled(self, text: str) -> str:
        letters = list(text or "x")
        for _ in range(self.random.randint(1, 3)):
            letters[self.random.randrange(len(letters))] = self.random.choice(_LETTERS)
        return "".join(letters)

    def json(self, valid: Any) -> bytes:
        """A body that once was the JSON of ``valid``."""
        how = self.random.randrange(10)
        if how == 0:
            depth = self.random.choice(_DEPTHS)
            return self.random.choice((b"[" * depth, b'{"a":' * depth, b"[" * depth + b"]" * depth))
        if how == 1:
            return self.random.choice((b"", b"null", b"[]", b'"text"', b"{", b"\xff\xfe{}", b"{}{}", b"1" * 5000))
        text = json.dumps(self.value(valid) if how < 8 else valid)
        if how == 9:
            text = text.replace(":", ": 1,", 1) if self.chance(0.5) else text[: len(text) // 2]
        return text.encode("utf-8", "surrogatepass")

    # --- bytes -----------------------------------------------------------------------------------------------------
    def raw(self, valid: bytes) -> bytes:
        """``valid``, damaged in one to four places."""
        data = bytearray(valid)
        for _ in range(self.random.randint(1, 4)):
            self._damage(data)
        return bytes(data)

    def _damage(self, data: bytearray) -> None:
        start = self.random.randrange(len(data) + 1)
        end = min(len(data), start + self.random.choice((1, 1, 1, 8, 100)))
        how = self.random.randrange(6)
        if how == 0 and data:
            place = self.random.randrange(len(data))
            data[place] ^= 1 << self.random.randrange(8)
        elif how == 1:
            data[start:start] = self.random.choice(_PIECES)
        elif how == 2:
            del data[start:end]
        elif how == 3:
            data[start:start] = data[start:end] * self.random.choice((1, 2, 50))
        elif how == 4:
            data[start:end] = self.random.randbytes(end - start)
        else:
            self._lie_about_length(data)

    def _lie_about_length(self, data: bytearray) -> None:
        name = b"Content-Length: "
        at = data.find(name)
        if at >= 0:
            end = data.find(b"\r\n", at)
            lie = self.random.choice((b"0", b"1", b"99999999", b"-1", b"+5", b"0x5", b"1e3", b"9" * 25, b"5, 5", b""))
            data[at + len(name) : end] = lie

    def head(self, valid: bytes) -> bytes:
        """``valid`` with a flood of headers, or a few odd ones."""
        first, _, rest = valid.partition(b"\r\n")
        count = self.random.choice((1, 2, 5, _MOST_HEADERS))
        lines = [
            self.random.choice(_HEADERS) if count < _MOST_HEADERS else b"H%d: v" % number for number in range(count)
        ]
        return b"\r\n".join([first, *lines, rest])

    def chunks(self, body: bytes, trailers: bytes = b"") -> bytes:
        """``body`` in chunks, which may lie about their sizes, and as they are, mostly, those trailers."""
        parts = []
        while body:
            size = self.random.choice((1, 3, 64, 4096))
            part, body = body[:size], body[size:]
            told = len(part) + (self.random.choice((-1, 1, 7, 1 << 31, 1 << 70)) if self.chance(0.1) else 0)
            parts.append(b"%x%s\r\n%s\r\n" % (max(told, 0), b";x=y" if self.chance(0.05) else b"", part))
        last = b"0\r\n" + trailers + b"\r\n" if self.chance(0.7) else self.random.choice(_ENDS)
        return b"".join(parts) + last
