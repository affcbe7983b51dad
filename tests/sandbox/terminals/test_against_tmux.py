"""Screens and keys against a real tmux: what it shows of the same bytes, what it types for the same key."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import pytest

from pytest_fargate_sandbox.sandbox.terminals.key_names import bytes_of_key
from tests.sandbox.terminals.emulators import ghostty, pyte
from tests.sandbox.terminals.real_tmux import THE_END, RealTmux, Shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from pytest_fargate_sandbox.sandbox.terminals.screen import Screen

_SCREENS: dict[str, Callable[[], type[Screen]]] = {"ghostty": ghostty, "pyte": pyte}
_COLUMNS, _ROWS = 20, 8
_CURSOR_KEYS = ["Up", "Down", "Left", "Right"]
_FUNCTION_KEYS = ["IC", "Insert", "DC", "Delete", "PPage", "PageUp", "PgUp", "NPage", "PageDown", "PgDn"]
_FUNCTION_KEYS += [f"F{number}" for number in range(1, 13)]
_KEYS = ["Enter", "Escape", "Tab", "BTab", "BSpace", "Space", "M-Enter", "M-Escape", "M-Tab", "M-BSpace", "M-Space"]
_KEYS += ["C-Space", "C-M-Space", "enter", "UP", "f5", "c-a", "m-x", "s-Up", "C-up", "^Up", "^Space", "0x41", "0x1b"]
_KEYS += [*_FUNCTION_KEYS, *(f"KP{character}" for character in "0123456789+-*/.")]
_KEYS += [f"{held}{key}" for held in ("C-", "M-", "S-", "C-M-", "C-S-", "M-S-", "C-M-S-") for key in _FUNCTION_KEYS]
_KEYS += [f"{held}{key}" for held in ("C-", "M-", "S-", "C-M-S-") for key in [*_CURSOR_KEYS, "Home", "End"]]
_KEYS += [f"C-{character}" for character in "abcdefghijklmnopqrstuvwxyzA@[\\]^_?26/-"]
_KEYS += [f"M-{character}" for character in "aAzZ09[]/?é你"] + ["M-C-a", "C-M-x", "^a", "^[", "^?", "^@", "^^", "^_"]
_NO_KEYS = ["F13", "F0", "Foo", "C-Foo", "M-foo", "C-", "M-", "S-", "-", "^", "^ab", "a-b", "C-ab", "Esc", "Return"]
_NO_KEYS += ["BackSpace", "Del", "None", "Home End", "é", "你", "ctrl-c", "FocusIn", "/", "KP", "0x", "x"]
_OTHERWISE = {
    "KPEnter": b"\r",  # tmux sends LF; it is one of the names of Enter
    "Home": b"\x1b[H",  # tmux sends what its own kind of terminal sends, this is xterm's
    "End": b"\x1b[F",
    "C-Enter": b"\r",  # what no terminal can say is the key itself; tmux 3.3 sends nothing, 3.5 the same as here
    "C-Tab": b"\t",
    "C-1": b"1",
    "C-3": b"\x1b",
    "C-8": b"\x7f",
    "S-Tab": b"\x1b[Z",  # xterm's; for tmux 3.3 it is text, for 3.5 Tab
    "S-Enter": b"\r",
    "S-a": b"S-a",  # text, as for tmux 3.3
}
_REPEATED = re.compile(r"\{(.)\*(\d+)\}")
_VERDICT = re.compile(
    r"    (?P<screens>[a-z, ]+?) (?P<verdict>right|wrong)(?P<style> in style)?: (?P<why>[^|]+)(?P<rest>.*)"
)


class Opinion(NamedTuple):
    """Of one screen, where it differs from tmux; ``shown`` if that is known to be right."""

    verdict: str
    in_style: bool
    shown: Shown | None


class Row(NamedTuple):
    name: str
    sequence: bytes
    opinions: dict[str, Opinion]


def table() -> list[Row]:
    rows: list[Row] = []
    for line in Path(__file__).with_name("escape_sequences.txt").read_text().split("\n"):
        if line.startswith("    "):
            found = _VERDICT.fullmatch(line)
            assert found, line
            opinion = Opinion(found["verdict"], bool(found["style"]), _shown_of(found["rest"]))
            rows[-1].opinions.update(dict.fromkeys(found["screens"].split(", "), opinion))
        elif line and not line.startswith("# "):
            name, _, sequence = line.partition("| ")
            rows.append(Row(name.strip(), _unescaped(sequence), {}))
    return rows


def _unescaped(text: str) -> bytes:
    whole = _REPEATED.sub(lambda found: found[1] * int(found[2]), text).replace("\\e", "\\x1b")
    return whole.encode("latin-1", "backslashreplace").decode("unicode-escape").encode("latin-1")


def _shown_of(text: str) -> Shown | None:
    if not text:
        return None
    _, cursor, lines = text.split("|")
    column, row = cursor.split(",")
    whole = _REPEATED.sub(lambda found: found[1] * int(found[2]), lines[1:])
    return Shown(whole.encode("raw-unicode-escape").decode("unicode-escape"), (int(column), int(row)))


@pytest.fixture(scope="module")
def tmux(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RealTmux]:
    tmux = RealTmux(tmp_path_factory.mktemp("tmux"), _COLUMNS, _ROWS)
    yield tmux
    tmux.close()


def test_a_screen_shows_what_tmux_shows_or_the_table_says_who_is_right(tmux: RealTmux) -> None:
    rows = table()
    assert len(rows) > 300
    theirs = tmux.screens([row.sequence for row in rows])
    for screen, emulator in _SCREENS.items():
        problems = [
            _problem(row, row.opinions.get(screen), emulator(), shown) for row, shown in zip(rows, theirs, strict=True)
        ]
        assert not list(filter(None, problems)), screen


def _problem(row: Row, opinion: Opinion | None, kind: type[Screen], theirs: Shown) -> str | None:
    """What the table does not say of this screen."""
    ours = _drawn(kind, row.sequence + THE_END % b"done")
    expected, is_same = theirs, opinion is None or opinion.in_style
    if opinion and opinion.shown:
        expected, is_same = opinion.shown, True
    if (ours[:2] == expected[:2]) != is_same:
        return f"{row.name}: {ours[:2]}, and {'' if is_same else 'is said not to be as '}{expected[:2]}"
    if kind is ghostty() and ours[:2] == theirs[:2]:
        again = _drawn(kind, theirs.styled.encode())
        if (again.styled == ours.styled) != (opinion is None or not opinion.in_style):
            return f"{row.name}: {ours.styled!r}, and tmux has {again.styled!r}"
    return None


def _drawn(kind: type[Screen], data: bytes) -> Shown:
    screen = kind(_COLUMNS, _ROWS)
    screen.feed(data)
    cursor, text = screen.cursor, screen.text()
    screen.feed(b"\x1b[m")  # what the next character would look like is not to be seen
    return Shown(text, cursor, screen.styled())


def test_a_key_sends_what_tmux_sends_for_it(tmux: RealTmux) -> None:
    names = [*_KEYS, *_NO_KEYS]
    ours = [bytes_of_key(name) or name.encode() for name in names]
    theirs = tmux.typed(names)
    differ = [each for each in zip(names, ours, theirs, strict=True) if each[1] != each[2]]
    assert not differ
    assert not [name for name in _NO_KEYS if bytes_of_key(name) is not None]
    assert {name: bytes_of_key(name) or name.encode() for name in _OTHERWISE} == _OTHERWISE
    with_application_keys = [bytes_of_key(name, application_keys=True) for name in [*_CURSOR_KEYS, "C-Up", "F1", "DC"]]
    assert tmux.typed([*_CURSOR_KEYS, "C-Up", "F1", "DC"], "\\033[?1h") == with_application_keys


def test_no_name_of_a_key_is_too_odd() -> None:
    odd = {"C-ß": "ß", "C-BTab": "\x1b[Z", "M-ŉ": "\x1bŉ", "C-0x0": "\0", "C-C-c": "\x03", "^^^": "\x1e"}
    assert {name: bytes_of_key(name) for name in odd} == {name: text.encode() for name, text in odd.items()}
    assert bytes_of_key("M-\udcff") == b"\x1b\xff"
    assert [bytes_of_key(name) for name in ("", "^", "0xd800", "0xDFFF", "0x123456")] == [None] * 5


def test_the_fallback_answers_behind_a_flood_without_lines_and_keeps_its_end() -> None:
    screen = pyte()(_COLUMNS, _ROWS)
    for _ in range(3):
        assert screen.feed(b"\0" * 1024 * 1024) == b""
    assert screen.feed(b"the end\x1b[6n") == b"\x1b[1;8R"
    assert screen.text() == "the end"
