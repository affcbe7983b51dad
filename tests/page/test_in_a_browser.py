"""The page in a real browser: by mouse, by keys, light and dark, wide and narrow, with hostile text in all places."""

from __future__ import annotations

import json
from importlib.resources import files
from typing import TYPE_CHECKING

import pytest

from pytest_fargate_sandbox.page.earlier_run import compared
from pytest_fargate_sandbox.page.finished_run import find_run
from pytest_fargate_sandbox.page.run_page import write_page
from tests.components import AXE, need, program
from tests.page.browser import Browser
from tests.page.made_runs import HOSTILE, made_run
from tests.sandbox.terminals.emulators import ghostty, pyte
from tests.sandbox.terminals.test_against_tmux import table

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_ROWS = "[...document.querySelectorAll('#tests tbody tr:not(.told)')]"


@pytest.fixture(scope="module")
def page(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of 60 tests, with all that a sandbox may say in all places."""
    directory = tmp_path_factory.mktemp("page")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(directory / "cache"))
        made_run("hostile", 60, hostile=HOSTILE)
        made_run("before", 60, hostile=HOSTILE, failing=7)
        run = find_run("hostile")
        write_page(directory / "page.html", run, compared(run, find_run("before")))
    return directory / "page.html"


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    browser = Browser(program("chromium-headless-shell"))
    yield browser
    browser.close()


@pytest.mark.parametrize("width", [1600, 360])
@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_it_shows_all_of_a_hostile_run_and_asks_for_nothing(
    browser: Browser, page: Path, width: int, dark: bool
) -> None:
    browser.open(page, width=width, dark=dark, part="#test-0")
    browser.until("document.querySelectorAll('.player').length")
    assert browser.run("document.documentElement.scrollWidth") <= width
    assert browser.run("document.title").startswith("bench")
    assert "<script>document.title='taken'</script>" in browser.run("document.querySelector('.told pre').textContent")
    links = "[...document.querySelectorAll('.story .pairs a')]"
    saved = browser.run(f"{links}.map(each => [each.textContent, each.hasAttribute('download')])")
    assert saved == [["out.txt", False], ["out.html", True], ["out", True]]  # whose script would run here
    ground = browser.run("getComputedStyle(document.body).backgroundColor")
    assert ground == ("rgb(15, 20, 26)" if dark else "rgb(246, 247, 249)")
    assert browser.requests == [f"{page.as_uri()}#test-0"] or browser.requests == [page.as_uri()]
    assert browser.complaints == []


@pytest.mark.parametrize("dark", [False, True], ids=["light", "dark"])
def test_axe_finds_no_serious_fault(browser: Browser, page: Path, dark: bool) -> None:
    need("axe")
    browser.open(page, width=1280, dark=dark, part="#test-0")
    browser.until("document.querySelectorAll('.player').length")
    # A world of its own: the page's policy lets no script into the page's.
    world = browser.world(AXE.read_text())
    rules = "{runOnly: ['color-contrast']}" if dark else "{}"  # all else is the same
    found = browser.run(
        f"axe.run(document, {rules}).then(told => told.violations.map(each => [each.impact, each.id, "
        "each.nodes.slice(0, 3).map(node => node.html.slice(0, 200)).join(' ')]))",
        world,
    )
    assert [each for each in found if each[0] in ("serious", "critical")] == []


def test_the_table_is_sorted_filtered_and_searched(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.until(f"{_ROWS}.length === 60")
    assert browser.run(f"{_ROWS}.slice(0, 7).map(row => row.cells[0].textContent).join()") == ",".join(
        ["✗ failed"] * 6 + ["✓ passed"]
    )
    browser.run("[...document.querySelectorAll('#tests th button')].find(each => each.textContent === 'Took').click()")
    assert browser.run("document.querySelector('#tests th:nth-child(4)').ariaSort") == "descending"
    took = browser.run(f"{_ROWS}.map(row => row.cells[3].textContent)")
    assert [took[0][-2:], took[-1][-2:]] == [" s", "ms"]
    browser.run(
        "[...document.querySelectorAll('#tests .bar button')].find(each => /failed/.test(each.textContent)).click()"
    )
    assert browser.run(f"{_ROWS}.length") == 6
    browser.run("document.activeElement.blur()")
    browser.key("/")
    for letter in "[10":
        browser.key(letter)
    browser.until(f"{_ROWS}.length === 1")
    assert browser.run("document.querySelector('#tests [role=status]').textContent") == "1 of 60 tests"


def test_the_timeline_goes_by_keys_alone_and_a_bar_leads_to_its_test(browser: Browser, page: Path) -> None:
    browser.open(page)
    for _ in range(60):
        browser.key("Tab")
        if browser.run("document.activeElement.matches('.lanes')"):
            break
    told = "document.querySelector('#timeline [role=status]').textContent"
    browser.key("ArrowRight")
    first = browser.run(told)
    browser.key("ArrowDown")
    assert "never used" in browser.run(told)
    browser.key("ArrowDown")
    browser.key("ArrowRight")
    assert "(gw1)" in browser.run(told) != first
    before = browser.picture_of(".lanes canvas")
    browser.key("+")
    zoomed = browser.picture_of(".lanes canvas")
    assert zoomed != before
    browser.key("ArrowRight", shift=True)
    assert browser.picture_of(".lanes canvas") != zoomed
    browser.key("0")
    assert browser.picture_of(".lanes canvas") == before
    browser.key("Enter")
    number = browser.until("document.activeElement.matches('.opens') && location.hash")
    assert browser.run(f"document.querySelector('{number}').nextSibling.matches('.told')")
    browser.key("Enter")
    assert not browser.run(f"document.querySelector('{number}').nextSibling.matches('.told')")


def test_the_timeline_goes_by_mouse(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.getElementById('timeline').scrollIntoView()")
    x, y = browser.run(
        "(box => [box.left + box.width / 2, box.top + 110])(document.querySelector('.lanes').getBoundingClientRect())"
    )
    before = browser.picture_of(".lanes canvas")
    browser.mouse("mouseWheel", x, y, deltaX=0, deltaY=-120, modifiers=2)
    zoomed = browser.picture_of(".lanes canvas")
    assert zoomed != before
    browser.drag(x, y, 150)
    assert browser.picture_of(".lanes canvas") != zoomed
    assert browser.run("location.hash") == ""
    browser.click(x, y)
    browser.until("/^#test-/.test(location.hash)")
    assert browser.complaints == []


_WORK = """(() => {
    const [pen, next] = [CanvasRenderingContext2D.prototype, requestAnimationFrame];
    const work = { strokes: 0, paintings: 0 };
    for (const name of ["fillRect", "strokeRect", "fillText"]) {
        const draw = pen[name];
        pen[name] = function (...all) { work.strokes += 1; return draw.apply(this, all); };
    }
    window.requestAnimationFrame = (act) => next((now) => { work.paintings += 1; act(now); });
    const box = document.querySelector(".lanes");
    window.frames_of = async (deltaY, keys) => {
        Object.assign(work, { strokes: 0, paintings: 0 });
        for (let frame = 0; frame < 10; frame += 1) {
            for (let event = 0; event < 50; event += 1) {
                const by = event % 2 ? deltaY : -deltaY / 2;
                box.dispatchEvent(new WheelEvent("wheel", { deltaY: by, clientX: 800, cancelable: true, ...keys }));
            }
            await new Promise((done) => next(() => next(done)));
        }
        return [work.paintings, work.strokes / work.paintings];
    };
})()"""


def test_a_frame_of_two_thousand_bars_takes_less_than_a_thirtieth_of_a_second(
    browser: Browser, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of the processor: this machine may be at something else. It is painted once, however many events there were;
    and where little is seen, little is painted.
    """
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    made_run("long", 2000, failing=2001)
    write_page(tmp_path / "page.html", find_run("long"))
    browser.open(tmp_path / "page.html")
    browser.run(_WORK)
    moves, zooms = "frames_of(20, { shiftKey: true })", "frames_of(-10, { ctrlKey: true })"
    browser.run(moves)  # what is compiled, and what was still to be painted, is none of a frame's
    began = browser.script_seconds()
    paintings, strokes = browser.run(moves)
    zoomings, _ = browser.run(zooms)
    assert (browser.script_seconds() - began) / 20 < 1 / 30
    assert max(paintings, zoomings) <= 20
    assert browser.run(moves)[1] < strokes / 5


def test_a_recording_is_played(browser: Browser, page: Path) -> None:
    browser.open(page, part="#test-0")
    browser.until("document.querySelectorAll('.player').length")
    screen = "document.querySelector('.player .screen').textContent"
    assert browser.run(screen) == "last inverse "
    browser.run("document.querySelector('.player .screen').focus()")
    browser.key("Home")
    browser.key("Space")
    assert "red </pre><script>document.title='taken'</script>" in browser.until(
        f"{screen}.includes('make') && {screen}"
    )
    browser.until("document.querySelector('.player button').ariaLabel === 'Play'")  # it has come to its end
    assert browser.run(screen) == "last inverse "


def test_a_recordings_screen_shows_what_terminals_show(browser: Browser) -> None:
    """Of each sequence in the table that our terminals are held against; but these, which no recording needs."""
    rows = [row for row in table() if row.name not in _SHOWN_OTHERWISE]
    script = files("pytest_fargate_sandbox.page").joinpath("assets", "screen.js").read_text()
    draw = """
        const screen = new Screen(20, 8);
        screen.write(text);
        screen.shows = false;
        const place = document.createElement("pre");
        screen.show(place);
        return [...place.children].map((line) => line.textContent.trimEnd()).join("\\n").trimEnd();"""
    sequences = json.dumps([row.sequence.decode("utf-8", "replace") for row in rows])
    shown = browser.run(f"(() => {{ {script}; return {sequences}.map((text) => {{ {draw} }}); }})()")
    assert [row.name for row, ours in zip(rows, shown, strict=True) if ours not in _drawn(row.sequence)] == []


_SHOWN_OTHERWISE = {
    *("no wrap and back", "new line mode", "DECSTR ends origin mode", "DECSTR and the character set"),
    *("G2 by a single shift", "locking shift 2", "DCS through tmux"),
}


def _drawn(sequence: bytes) -> Iterator[str]:
    """By each of the two emulators that are not ours."""
    for kind in (ghostty(), pyte()):
        screen = kind(20, 8)
        screen.feed(sequence)
        yield "\n".join(line.rstrip() for line in screen.text().split("\n")).rstrip()
        screen.close()


def test_its_theme_is_ones_own_choice(browser: Browser, page: Path) -> None:
    browser.open(page)
    browser.run("document.getElementById('theme').click(), document.getElementById('theme').click()")
    assert browser.run("document.documentElement.dataset.theme") == "dark"
    browser.open(page)
    assert browser.run("document.documentElement.dataset.theme") == "dark"
    browser.run("document.getElementById('theme').click()")
    assert browser.run("document.documentElement.dataset.theme") == "light"
