"""Real programs, really judged, then rewarded: what each way to break is charged to, on the Python that runs the tests.

The released code of RLTF tells these apart by the words of Python 3.9's messages, which later versions changed.
"""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, Problem, Sandbox, StdinCase
from rltf_env.rewards import _categories
from rltf_env.tokenizers import Bytes

PROBLEM = Problem("echo", "Print the number that you read.", [StdinCase("1\n", "1\n")])
CUT = True


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load("forkserver") as box:
        yield box


@pytest.mark.parametrize(
    ("source", "truncated", "category", "charged"),
    [
        ("print(input())\n", False, None, ""),
        ("print(2)\n", False, None, ""),
        ("x = 1\nprint(x", CUT, "global", ""),
        ("print(1\nx = 2\n", False, "line", "print(1"),
        ("f(1,\n2,\n", CUT, "global", ""),  # reported on the line of the bracket
        ("x = 'ab", CUT, "global", ""),
        ("x = 'ab\ny = 2\n", False, "line", "x = 'ab"),
        ('x = """ab\n\n', False, "ignore", ""),
        ('x = """ab\n\n', CUT, "global", ""),
        ("x = 1\n  y = 2\n", False, "ignore", ""),
        ("for i in range(3):", False, "ignore", ""),
        ("for i in range(3):", CUT, "global", ""),
        ("if 1:\n\ta = 1\n        b = 2\n", False, "ignore", ""),
        ("x=[]\ny=x[0]\ny=x[0]\n", False, "line", "y=x[0]"),
        ("def f():\n    return f()\nf()\n", False, "global", ""),
        ("import nothing_of_this_name\n", False, "line", "import nothing_of_this_name"),
        ("input()\ninput()\n", False, "line", "input()"),
        ("class E(ValueError): pass\nraise E('RecursionError')\n", False, "line", "raise E('RecursionError')"),
        ("s = '日本'\r\nprint(s[9])\r\n", False, "line", "print(s[9])"),
        ("x = 1\neval('(')\n", CUT, "line", "eval('(')"),
        ("import os\nos._exit(3)\n", False, "global", ""),
    ],
)
def test_a_broken_program_is_charged_where_it_broke(
    judge: Sandbox, source: str, truncated: bool, category: str | None, charged: str
) -> None:
    tokens = [*Bytes().encode(source), *([] if truncated else [Bytes().eos_id])]
    program = Bytes().program(tokens, truncated=truncated)
    attempt = Attempt(PROBLEM, program, judge.run(program.text, PROBLEM))
    assert _categories.category(attempt) == category
    feedback = rewards.load("fine", alpha="none")(attempt)
    on_line = program.tokens[feedback.token_rewards != 0]
    assert bytes(on_line.tolist()).decode() == charged
    assert feedback.program_reward == (-0.3 if category == "global" else 0.0)


def test_of_two_lines_alike_the_one_that_raised_is_charged(judge: Sandbox) -> None:
    source = "a = [0]\nb=a[0]\na = []\nb=a[0]\n"
    program = Bytes().program([*Bytes().encode(source), Bytes().eos_id])
    attempt = Attempt(PROBLEM, program, judge.run(program.text, PROBLEM))
    charged = rewards.load("fine")(attempt).token_rewards.nonzero()[0]
    assert charged.tolist() == list(range(source.rindex("b=a[0]"), source.rindex("b=a[0]") + 6))
