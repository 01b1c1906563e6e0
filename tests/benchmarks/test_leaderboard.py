"""The leaderboard: who is ranked and who is shown apart, tables that names cannot break, and the page in a real browser."""

from __future__ import annotations

import csv
import io
from pathlib import Path
from typing import Any

import pytest

from benchmarks import leaderboard, records
from benchmarks.core import Answer, Key, Sample
from benchmarks.records import boards, page
from rltf_env.core import CaseResult, Failure, Outcome, Verdict

HOSTILE = "'</script><script>document.title = \"taken\"</script><img src=x onerror=\"document.title='taken'\">'"
NAME = '<b>evil</b> | "quoted" `x`'
BAD = f"def f(x):\n    {HOSTILE}\n    return x / 0\n"


def writer(passes: int) -> Any:
    """Solves the first `passes` problems that it is asked, and fails the others in a hostile way."""
    asked: list[str] = []

    def write(problem: Any, samples: int, seed: int) -> list[str]:
        asked.append(problem.id)
        return [problem.solutions[0] if len(asked) <= passes else BAD] * samples

    return write


def rules(source: str, problem: Any) -> Any:
    return Failure("ZeroDivisionError", HOSTILE, 3, "", ("ArithmeticError",)) if source == BAD else True


@pytest.fixture
def folder(suite: Any, tmp_path: Path, make_record: Any) -> Path:
    for name, passes in (("good", 6), ("middling", 5), (NAME, 1)):
        make_record(tmp_path / f"r{passes}", suite, writer(passes), rules, name)
    return tmp_path


def load(folder: Path) -> boards.Board:
    entries, broken = boards.load(folder)
    assert not broken
    (board,) = boards.boards(entries)
    return board


def test_records_are_ranked_and_compared_with_the_best(folder: Path) -> None:
    board = load(folder)
    assert [(each.rank, each.record.name) for each in board.ranked] == [(1, "good"), (2, "middling"), (3, NAME)]
    best, second, last = board.ranked
    assert best.behind is None
    assert second.behind is not None
    assert last.behind is not None
    assert second.behind.difference == pytest.approx(-1 / 6)
    assert last.adjusted == pytest.approx(2 * last.behind.p_value)  # Holm, of two
    assert "not told apart" in leaderboard.difference(second)


def edit(path: Path, **changes: Any) -> None:
    records.write_json(path, {**records.read_json(path), **changes})


@pytest.mark.parametrize(
    ("spoil", "reason"),
    [
        (lambda r: edit(r / "header.json", data="0" * 64), "other data"),
        (lambda r: edit(r / "header.json", departures=["3 of 6 problems"]), "3 of 6 problems"),
        (lambda r: edit(r / "header.json", problems=7), "though the header says 7"),
        (lambda r: edit(r / "report.json", passed=[1] * 6), "does not follow from its completions"),
        (lambda r: (r / "samples.jsonl.gz").unlink(), "only counted"),
        (lambda r: better(r), "not those that the header names"),
        (lambda r: verified(r, [{"problem": "p", "sample": 0}]), "verification failed: 1 of 12"),
        (lambda r: verified(r, [], samples_sha256="other"), "verified before it was changed"),
        (lambda r: protocol(r, version=0), "version 0 of the suite; it is at 1"),
        (lambda r: protocol(r, temperature=0.5), "another protocol"),
        (lambda r: protocol(r, name="huge"), "no suite 'huge' here"),
    ],
)
def test_record_that_does_not_hold_is_shown_apart(folder: Path, spoil: Any, reason: str) -> None:
    spoil(folder / "r6")
    found = [board for board in boards.boards(boards.load(folder)[0]) if board.apart]
    (each,) = found[0].apart
    assert reason in "; ".join(each.reasons)
    assert each.rank == 0
    assert reason in leaderboard.as_markdown(found)


def better(folder: Path) -> None:
    """Someone has made a verdict better."""
    content = [
        Sample.from_dict({**s.to_dict(), "outcomes": s.to_dict()["outcomes"]})
        for s in records.read(folder).samples or ()
    ]
    (folder / "samples.jsonl.gz").write_bytes(records.pack(list(reversed(content))))


def verified(folder: Path, changed: list[Any], **more: Any) -> None:
    digest = records.read_json(folder / "header.json")["samples_sha256"]
    told = {"samples_sha256": digest, "programs": 12, "changed": changed, "altered": False, **more}
    records.write_json(folder / "verified.json", told)


def protocol(folder: Path, **changes: Any) -> None:
    edit(folder / "header.json", suite={**records.read_json(folder / "header.json")["suite"], **changes})


def test_verified_record_says_so(folder: Path) -> None:
    verified(folder / "r6", [])
    assert [each.checked for each in load(folder).ranked] == ["verified", "not verified", "not verified"]


def test_what_cannot_be_read_is_named_with_the_reason(folder: Path) -> None:
    (folder / "r6" / "samples.jsonl.gz").write_bytes(b"junk")
    (folder / "r5" / "report.json").unlink()
    _, broken = boards.load(folder)
    assert {str(path): why.split(":")[0] for path, why in broken} == {"r6": "DataError", "r5": "MissingData"}
    assert not any(str(folder) in why for _, why in broken)


def test_csv_has_every_figure_and_no_formula(folder: Path) -> None:
    edit(folder / "r6" / "header.json", agent={"kind": "function", "name": "=1+1"})
    rows = list(csv.DictReader(io.StringIO(leaderboard.as_csv([load(folder)]))))
    assert [(row["rank"], row["model"], row["k"], row["pass@k"]) for row in rows[:2]] == [
        ("1", "'=1+1", "1", "1.0000"),
        ("1", "'=1+1", "2", "1.0000"),
    ]
    assert {row["model"] for row in rows} == {"'=1+1", "middling", NAME}


def test_names_cannot_break_the_markdown(folder: Path) -> None:
    line = next(line for line in leaderboard.as_markdown([load(folder)]).splitlines() if "evil" in line)
    assert "<b>" not in line
    assert line.replace("\\|", "").count("|") == 7


# ----------------------------------------------------------------------------------------------------------- the page


def sample(number: int, text: str, kind: str = "") -> Sample:
    result = CaseResult(Outcome.RUNTIME_ERROR, Failure(kind, line=1)) if kind else CaseResult(Outcome.PASSED)
    return Sample(Key("p", number), Answer(text), Verdict((result,)))


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
    (shown,) = page.programs([Sample(Key("p", 0), answer, failed)], 1)
    assert (shown["unit"], shown["starts"]) == ("token", [0, 1, 2, 4, 8])
    assert [token for token, _ in shown["heat"]] == [2, 3]
    assert all(earned < 0 for _, earned in shown["heat"])


def test_page_that_would_be_too_large_shows_fewer_programs(folder: Path) -> None:
    found = [load(folder)]
    whole, told = page.render(found, [], title="t", limit=10**7)
    assert "up to 3" in told
    none, told = page.render(found, [], title="t", limit=1)
    assert "no programs" in told
    assert len(none) < len(whole)


def test_page_is_the_same_for_the_same_records(folder: Path) -> None:
    pages = [page.render([load(folder)], [], title="t", limit=10**7) for _ in range(2)]
    assert pages[0] == pages[1]


def test_page_has_no_markup_of_a_program_and_loads_nothing(folder: Path) -> None:
    text, _ = page.render([load(folder)], [(Path(NAME), HOSTILE)], title=NAME, limit=10**7)
    assert text.count("<script") == 2
    assert "<b>evil" not in text
    assert 'onerror="' not in text
    assert "http://" not in text.replace("http-equiv", "")
    assert "https://" not in text


@pytest.fixture
def opened(folder: Path, browser: Any, suite: Any, capsys: pytest.CaptureFixture[str]) -> Any:
    """A browser that shows the page of `folder`."""
    protocol(folder / "r5", temperature=0.5)
    assert leaderboard.main([str(folder), "--title", "Board </title><script>1</script>"]) == 0
    assert "leaderboard.html" in capsys.readouterr().out
    browser.emulate(1280, 900, dark=False)
    browser.open("about:blank")
    browser.open(f"file://{folder / 'leaderboard.html'}")
    browser.logs()
    return browser


NAMES = """
return [...document.querySelectorAll('.entries tbody tr')].filter(row => row.offsetParent)
  .map(row => row.querySelector('.name a').textContent)
"""


def test_browser_sorts_and_searches(opened: Any) -> None:
    opened.run("document.querySelector('details').open = true")
    assert opened.run(NAMES) == ["good", NAME, "middling"]
    opened.click(".entries th.score button")
    assert opened.run(NAMES) == ["good", NAME, "middling"]
    opened.click(".entries th.score button")
    assert opened.run(NAMES) == [NAME, "good", "middling"]
    opened.click(".entries th.name button")
    assert opened.run(NAMES)[:2] == [NAME, "good"]
    opened.run("const s = document.getElementById('search'); s.value = 'MIDD'; s.dispatchEvent(new Event('input'))")
    assert opened.run(NAMES) == ["middling"]
    assert opened.logs() == []


def test_browser_shows_hostile_programs_as_text_with_their_guilty_line(opened: Any) -> None:
    opened.click("a[href='#/0/1']")
    opened.until("return document.getElementById('dialog').open")
    opened.click("#problems li:last-child a")
    opened.until("return document.querySelector('.program')")
    assert opened.run("return document.querySelector('.code').innerText").count(HOSTILE) == 1
    guilty = opened.run(
        "return [...document.querySelectorAll('.guilty')].map(e => [e.dataset.line, e.innerText.trim()])"
    )
    assert guilty == [["3", "return x / 0"]]
    assert opened.run("return document.querySelector('.guilty span').title").startswith("earned -")
    assert HOSTILE in opened.run("return document.querySelector('.program p').innerText")
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


def test_a_folder_without_records_makes_no_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert leaderboard.main([str(tmp_path)]) == 2
    assert "Expected records below" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())
    assert leaderboard.main([str(tmp_path / "none")]) == 2
    assert "Expected a folder of records" in capsys.readouterr().err
