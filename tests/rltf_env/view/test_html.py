"""The page of token tables: what it shows, that it needs nothing else, and that nothing in it can break out."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest

from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Feedback, Outcome, Problem, Program, Verdict
from rltf_env.tokenizers import Bytes
from rltf_env.view import html

PROBLEM = Problem("double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), "f")
FAILED = Verdict(
    (CaseResult(Outcome.PASSED), CaseResult(Outcome.RUNTIME_ERROR, Failure("KeyError", "'x'", line=2), 0.25))
)
PASSED = Verdict((CaseResult(Outcome.PASSED),))


def table(
    text: str,
    rewards: dict[int, float] | None = None,
    verdict: Verdict = FAILED,
    problem: Problem = PROBLEM,
    given: int = 0,
) -> str:
    program = Bytes().program([*text.encode("utf-8", "replace"), 256], prefix_length=given)
    tokens = np.zeros(len(program), np.float32)
    for index, reward in (rewards or {}).items():
        tokens[index] = reward
    return html.fragment(
        Attempt(problem, program, verdict), Feedback.build(program, "fine", tokens=tokens, program_reward=-1.0)
    )


class Reader(HTMLParser):
    """Checks that tags are balanced; keeps tags, the text of each line of code, and all text."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.feed(page)
        self.close()
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag != "meta":
            self.open.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text.append(data)


def spans(fragment: str) -> list[tuple[str, str, str, str]]:
    """Class, heat, title and text of each token."""
    found = re.findall(
        r'<span class="(t[^"]*)"(?: style="--heat:([\d.]+)")? title="([^"]*)">(.*?)</span>(?=<span class="t|</span>)',
        fragment,
    )
    return [(kind, heat, title, re.sub("<[^>]*>", "", body)) for kind, heat, title, body in found]


def test_each_token_has_its_reward_in_colour_and_in_number() -> None:
    found = spans(table("a-b", {0: -0.5, 2: 0.25}))
    assert found == [
        ("t neg", "0.50", "token 0, id 97, reward -0.500", "a"),
        ("t", "", "token 1, id 45, reward +0.000", "-"),
        ("t pos", "0.25", "token 2, id 98, reward +0.250", "b"),
        ("t neg", "0.50", "token 3, id 256, reward -1.000", "end"),  # what the whole program earned
    ]


def test_a_program_that_passed_has_a_green_end() -> None:
    program = Bytes().program([*b"x", 256])
    found = spans(
        html.fragment(Attempt(PROBLEM, program, PASSED), Feedback.build(program, "coarse", program_reward=1.0))
    )
    assert [(kind, heat) for kind, heat, *_ in found] == [("t", ""), ("t pos", "0.50")]


def test_cases_that_came_to_the_same_are_one_row_and_empty_columns_are_left_out() -> None:
    wrong = CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer"))
    found = table("a", verdict=Verdict((wrong, wrong, wrong, CaseResult(Outcome.PASSED))))
    assert '<td class="n">1 to 3</td><td class="failed">WRONG_ANSWER</td>' in found
    assert found.count("what it gave is not right") == 2  # above, and once in the table
    assert "CPU s" not in found
    assert "<th>why</th>" not in table("a", verdict=PASSED)


def test_tokens_that_share_a_character_are_one_and_line_ends_have_a_mark() -> None:
    found = spans(table("é\nx", {0: -0.25, 1: -0.25, 2: 0.5}))
    assert found[0] == ("t neg", "0.50", "token 0, id 195, reward -0.250; token 1, id 169, reward -0.250", "é")
    assert found[1][0] == "t pos"
    assert [text for *_, text in found] == ["é", "↵", "x", "end"]


def test_a_token_over_several_lines_is_on_each_of_them() -> None:
    program = Program(np.array([7, 8]), "a\n  b", np.array([0, 1]))
    feedback = Feedback.build(program, "fine", tokens=[0.0, -1.0])
    _, first, second = html.fragment(Attempt(PROBLEM, program, FAILED), feedback).split('data-line="')
    for line in (first, second):
        assert 'class="t neg" style="--heat:0.50" title="token 1, id 8, reward -1.000"' in line
    assert "token 0" in first
    assert "token 0" not in second
    assert re.sub("<[^>]*>", "", first).startswith('1">a↵')
    assert re.sub("<[^>]*>", "", second).startswith('2">  b')


def test_the_failing_line_the_parts_and_every_case_are_there() -> None:
    found = table("a\nb\nc", {2: -0.5})
    assert '<span class="line failing" data-line="2">' in found
    assert found.count("failing") == 1
    assert "RUNTIME_ERROR</b> 1 of 2 cases passed. It raised KeyError on line 2: &#x27;x&#x27;" in found
    assert '<td>fine</td><td class="n">-1.500</td>' in found
    assert '<td>total</td><td class="n">-1.500</td>' in found
    assert '<td class="n">1</td><td class="passed">PASSED</td><td></td>' in found
    assert (
        '<td class="n">2</td><td class="failed">RUNTIME_ERROR</td><td>It raised KeyError on line 2: &#x27;x&#x27;</td>'
        in found
    )
    assert '<td class="n">0.250</td>' in found


def test_given_tokens_are_pale_and_tokens_that_are_not_learnt_from_are_dotted() -> None:
    program = Bytes().program([97, 98, 99], prefix_length=1)
    feedback = Feedback(np.zeros(3, np.float32), np.array([False, False, True]))
    found = html.fragment(Attempt(PROBLEM, program, PASSED), feedback)
    assert [kind for kind, *_ in spans(found)] == ["t given", "t off", "t"]


HOSTILE = [
    "</script><script>alert(1)</script>",
    "</pre></section><img src=x onerror=alert(1)>",
    "'\"><style>*{display:none}</style>",
    "<!-- \x00 \x1b]0;x\x07 &amp; ]]>",
    "\u202e\x9b",
]


@pytest.mark.parametrize("text", HOSTILE)
def test_whatever_was_written_is_text(text: str) -> None:
    verdict = Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure(text, text, line=1), stdout=text),))
    problem = Problem(text, text, PROBLEM.cases, "f")
    page = html.page([table(text, {0: -1.0}, verdict, problem)], text)
    read = Reader(page)
    assert {tag for tag, _ in read.tags} <= set(
        "html head meta title style body h1 h2 p b section pre span table tr th td".split()
    )
    assert not [name for _, attributes in read.tags for name in attributes if name.startswith("on")]
    assert page.count("<style>") == 1
    assert not re.search(r"[\x00\x1b\x07\x9b\u202e]", page)
    if text.isprintable() and "&" not in text:
        assert "".join(read.text).count(text) >= 4  # title, heading, id, statement


def test_the_page_needs_nothing_from_anywhere(tmp_path: Path) -> None:
    program = Bytes().program([97])
    html.save(
        tmp_path / "new" / "page.html",
        [(Attempt(PROBLEM, program, PASSED), Feedback.build(program, "x", program_reward=1.0))] * 2,
    )
    page = (tmp_path / "new" / "page.html").read_text(encoding="utf-8")
    assert page.count('<section class="rltf">') == 2
    assert "default-src 'none'" in page
    assert "prefers-color-scheme: dark" in page
    assert not re.search(r"https?:|src=|href=|url\(|<script|@import", page)


def test_the_same_attempt_gives_the_same_fragment() -> None:
    assert table("a\nb", {1: -0.5}) == table("a\nb", {1: -0.5})


def test_an_empty_program_has_a_table() -> None:
    program = Bytes().program([])
    found = html.fragment(Attempt(PROBLEM, program, PASSED), Feedback.build(program, "x"))
    Reader(found)
    assert "PASSED" in found
