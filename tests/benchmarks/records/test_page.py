"""The leaderboard as a page: what it shows, and how it behaves in a real browser."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from benchmarks import leaderboard
from benchmarks.core import Answer, JudgedAnswer, Key
from benchmarks.records import page
from rltf_env.core import CaseResult, Failure, Outcome, Verdict


def sample(number: int, text: str, kind: str = "") -> JudgedAnswer:
    result = CaseResult(Outcome.RUNTIME_ERROR, Failure(kind, line=1)) if kind else CaseResult(Outcome.PASSED)
    return JudgedAnswer(Key("p", number), Answer(text), Verdict((result,)))


def test_page_shows_one_program_of_each_kind_first_and_counts_the_rest() -> None:
    kinds = (("a", "KeyError"), ("b", "KeyError"), ("a", "KeyError"), ("c", ""), ("d", "X"))
    given = [sample(number, text, kind) for number, (text, kind) in enumerate(kinds)]
    shown = page.programs(given, 3)
    assert [(each["text"], each["times"], each["of"]) for each in shown] == [("a", 2, 4), ("c", 1, 4), ("d", 1, 4)]


def test_page_tells_what_each_token_earned() -> None:
    answer = Answer("x\ny=1/0\n", (1, 1, 2, 4, 0))
    failed = Verdict(
        (CaseResult(Outcome.RUNTIME_ERROR, Failure("ZeroDivisionError", line=2, bases=("ArithmeticError",))),)
    )
    (shown,) = page.programs([JudgedAnswer(Key("p", 0), answer, failed)], 1)
    assert (shown["unit"], shown["starts"]) == ("token", [0, 1, 2, 4, 8])
    assert [token for token, _ in shown["heat"]] == [2, 3]
    assert all(earned < 0 for _, earned in shown["heat"])


def test_page_that_would_be_too_large_shows_fewer_programs(ranked: Any) -> None:
    found = [ranked.board()]
    whole, told = page.render(found, [], title="t", limit=10**7)
    assert "up to 3" in told
    none, told = page.render(found, [], title="t", limit=1)
    assert "no programs" in told
    assert len(none) < len(whole)


def test_page_is_the_same_for_the_same_records(ranked: Any) -> None:
    pages = [page.render([ranked.board()], [], title="t", limit=10**7) for _ in range(2)]
    assert pages[0] == pages[1]


def test_page_has_no_markup_of_a_program_and_loads_nothing(ranked: Any) -> None:
    text, _ = page.render([ranked.board()], [(Path(ranked.name), ranked.hostile)], title=ranked.name, limit=10**7)
    assert text.count("<script") == 2
    assert "<b>evil" not in text
    assert 'onerror="' not in text
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text


@pytest.fixture
def opened(ranked: Any, browser: Any, suite: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """A browser that shows the page of the ranked records."""
    ranked.protocol("r5", temperature=0.5)
    assert leaderboard.main([str(ranked.folder), "--title", "Board </title><script>1</script>"]) == 0
    assert "leaderboard.html" in capsys.readouterr().out
    browser.emulate(1280, 900, dark=False)
    browser.open("about:blank")
    browser.open(f"file://{ranked.folder / 'leaderboard.html'}")
    browser.logs()
    return browser


NAMES = """
return [...document.querySelectorAll('.entries tbody tr')].filter(row => row.offsetParent)
  .map(row => row.querySelector('.name a').textContent)
"""


def test_browser_sorts_and_searches(opened: Any, ranked: Any) -> None:
    opened.run("document.querySelector('details').open = true")
    assert opened.run(NAMES) == ["good", ranked.name, "middling"]
    opened.click(".entries th.score button")
    assert opened.run(NAMES) == ["good", ranked.name, "middling"]
    opened.click(".entries th.score button")
    assert opened.run(NAMES) == [ranked.name, "good", "middling"]
    opened.click(".entries th.name button")
    assert opened.run(NAMES)[:2] == [ranked.name, "good"]
    opened.run("const s = document.getElementById('search'); s.value = 'MIDD'; s.dispatchEvent(new Event('input'))")
    assert opened.run(NAMES) == ["middling"]
    assert opened.logs() == []


def test_browser_says_that_a_search_finds_nothing(opened: Any) -> None:
    opened.run("const s = document.getElementById('search'); s.value = 'zzz'; s.dispatchEvent(new Event('input'))")
    assert opened.run("return document.getElementById('nohit').innerText") == "No model is called anything like “zzz”."
    assert (
        opened.run("return [...document.querySelectorAll('.board, .entries')].filter(e => e.offsetParent).length") == 0
    )
    opened.run("const s = document.getElementById('search'); s.value = ''; s.dispatchEvent(new Event('input'))")
    assert not opened.run("return document.getElementById('nohit').offsetParent")
    assert opened.run(NAMES)


def test_a_phone_has_every_column_under_its_header(opened: Any) -> None:
    opened.emulate(390, 844, dark=False)
    places = opened.run(
        "const t = document.querySelector('table.entries'), row = t.tBodies[0].rows[0];"
        "return [...t.tHead.rows[0].cells].map((head, i) => [head, row.cells[i]]).filter(([head]) => head.offsetParent)"
        ".map(([head, cell]) => [head.className, head.offsetLeft, cell.offsetLeft, cell.offsetWidth])"
    )
    assert [name for name, *_ in places] == ["name", "score", "ratio", "behind", "outcomes", "gap"]
    assert all(head == cell and width > 0 for _, head, cell, width in places)
    assert opened.run("return document.documentElement.scrollWidth") <= 390


def test_the_colours_are_explained_where_they_are(opened: Any) -> None:
    assert opened.run(
        "return [...document.querySelectorAll('.board')].every(b => !b.querySelector('.stack') || b.querySelector('.legend'))"
    )


def test_browser_shows_hostile_programs_as_text_with_their_guilty_line(opened: Any, ranked: Any) -> None:
    opened.click("a[href='#/0/1']")
    opened.until("return document.getElementById('dialog').open")
    opened.click("#problems li:last-child a")
    opened.until("return document.querySelector('.program')")
    assert opened.run("return document.querySelector('.code').innerText").count(ranked.hostile) == 1
    guilty = opened.run(
        "return [...document.querySelectorAll('.guilty')].map(e => [e.dataset.line, e.innerText.trim()])"
    )
    assert guilty == [["3", "return x / 0"]]
    assert opened.run("return document.querySelector('.guilty span').title").startswith("earned -")
    assert ranked.hostile in opened.run("return document.querySelector('.program p').innerText")
    assert opened.run("return document.querySelectorAll('img, #content script, .code b').length") == 0
    assert opened.run("return document.title") == "Board </title><script>1</script>"
    assert opened.run("return document.querySelector('.statement').innerText").startswith("Given")
    opened.run("const f = document.getElementById('find'); f.value = 'zerodiv'; f.dispatchEvent(new Event('input'))")
    assert opened.run("return [...document.querySelectorAll('#problems li')].filter(e => !e.hidden).length") == 5
    opened.click("#close")
    opened.until("return !document.getElementById('dialog').open && !location.hash")
    assert opened.logs() == []


def test_page_lets_no_other_script_run(opened: Any) -> None:
    opened.run(
        "const s = document.createElement('script'); s.textContent = \"document.title = 'taken'\"; document.body.append(s)"
    )
    assert opened.run("return document.title") != "taken"
    assert any("Content Security Policy" in line for line in opened.logs())


@pytest.mark.parametrize("dark", [False, True])
@pytest.mark.parametrize("width", [1280, 390])
def test_page_fits_its_screen_and_follows_light_and_dark(opened: Any, width: int, dark: bool) -> None:
    opened.emulate(width, 844, dark=dark)
    assert opened.run("return document.documentElement.scrollWidth") <= width
    assert contrast(opened, ".entries td.name a", "table.entries") >= 4.5
    assert contrast(opened, ".board > p", "body") >= 4.5
    back = opened.run("return getComputedStyle(document.body).backgroundColor")
    assert (sum(rgb(back)) < 384) == dark
    opened.click("#theme")
    assert opened.run("return getComputedStyle(document.body).backgroundColor") != back
    opened.run("location.hash = '#/0/0/0'")
    opened.until("return document.querySelector('.program')")
    assert opened.run(
        "const b = document.getElementById('dialog').getBoundingClientRect(); return b.left >= 0 && b.right <= innerWidth"
    )


def rgb(text: str) -> list[float]:
    return [float(part) for part in text[text.index("(") + 1 : -1].split(",")[:3]]


def contrast(browser: Any, text: str, ground: str) -> float:
    """Contrast ratio of WCAG 2.1 between the colours of two elements."""
    colours = browser.run(
        "const of = (s, p) => getComputedStyle(document.querySelector(s))[p];"
        "return [of(arguments[0], 'color'), of(arguments[1], 'backgroundColor')]", text, ground
    )  # fmt: skip
    light, dark = sorted((luminance(rgb(colour)) for colour in colours), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def luminance(colour: list[float]) -> float:
    linear = [c / 12.92 if c <= 0.03928 else ((c + 0.055) / 1.055) ** 2.4 for c in (part / 255 for part in colour)]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
