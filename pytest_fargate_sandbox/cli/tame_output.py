"""What a sandbox's terminal says, for a terminal of one's own that is to show it and to do nothing else.

It may move the cursor, colour, and use the other screen. It may not ask (a terminal types its answer, for the shell to
read that comes next), set the clipboard or a title, nor have keys and the mouse reported, locked or made others; nor
leave UTF-8, in whose characters there are bytes that another encoding has for sequences.
https://invisible-island.net/xterm/ctlseqs/ctlseqs.html
"""

from __future__ import annotations

import re

_SEQUENCE = re.compile(
    r"\x1b(?:(?P<string>[\]PX^_k])|\[(?P<told>[0-?]*[ -/]*)(?P<final>[@-~])|[ -/]*[0-OQ-WYZ\\`-jl-~])"
)
_UNFINISHED = re.compile(r"\x1b(?:\[[0-?]*[ -/]*|[ -/]*)")
_LONGEST = 4096
_END_OF_STRING = re.compile(r"[\x07\x18\x1a\x9c]|\x1b\\?")
_SHOWING = re.compile(r"[0-9;:]*[@A-KLMPSTXZ`abdefgmrsu]|\d* q|(?:4|34)[hl]")
_MODES = frozenset({"6", "7", "12", "25", "47", "1047", "1048", "1049", "2026"})
"""Of those that are private: origin, wrapping, the cursor's look, the other screen, and one picture at a time."""
_OTHER_SCREENS = ("47", "1047", "1049")
_SILENT = dict.fromkeys((0x05, *range(0x80, 0xA0)))
"""What asks who is there, and what stands for sequences in one character."""
_ASKS_WHO = "\x1bZ"
_ENCODING = "\x1b%"


class TameOutput:
    """Of one terminal; its output may be cut anywhere."""

    def __init__(self) -> None:
        self._rest = ""
        self._in_string = False
        self._other_screens: set[str] = set()

    def tamed(self, output: str) -> str:
        output, self._rest = self._rest + output, ""
        shown, place = [], 0
        while place < len(output):
            if self._in_string:
                place = self._skipped(output, place)
                continue
            begin = output.find("\x1b", place)
            if begin < 0:
                shown.append(output[place:])
                break
            shown.append(output[place:begin])
            found = _SEQUENCE.match(output, begin)
            if found is None and _UNFINISHED.fullmatch(output, begin) and len(output) - begin < _LONGEST:
                self._rest = output[begin:]
                break
            place = found.end() if found else begin + 1
            self._in_string = bool(found and found["string"])
            if found and not self._in_string and self._shows(found):
                shown.append(found[0])
        return "".join(shown).translate(_SILENT)

    def end(self) -> str:
        """What leaves a terminal as it was."""
        return "".join(f"\x1b[?{mode}l" for mode in sorted(self._other_screens)) + "\x1b[!p"

    def _skipped(self, output: str, place: int) -> int:
        end = _END_OF_STRING.search(output, place)
        if end is None or (end.end() == len(output) and end[0] == "\x1b"):
            self._rest = "\x1b" if end else ""
            return len(output)
        self._in_string = False
        return end.start() if end[0] == "\x1b" else end.end()

    def _shows(self, found: re.Match[str]) -> bool:
        if found["final"] is None:
            return found[0] != _ASKS_WHO and not found[0].startswith(_ENCODING)
        told = found["told"]
        if not told.startswith("?"):
            return _SHOWING.fullmatch(told + found["final"]) is not None
        modes = told[1:].split(";")
        if found["final"] not in "hl" or not _MODES.issuperset(modes):
            return found["final"] in "JK" and told[1:].isdecimal()
        for mode in modes:
            if mode in _OTHER_SCREENS:
                (self._other_screens.add if found["final"] == "h" else self._other_screens.discard)(mode)
        return True
