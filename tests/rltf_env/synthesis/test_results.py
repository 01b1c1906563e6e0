"""What a function gives is result in the judge, whatever it prints, and none of it runs at home."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.synthesis import results
from rltf_env.synthesis.results import Answer, Call


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, **results.judge_options(seconds=0.4)) as opened:
        yield opened


def answers(judge: Sandbox, code: str, *arguments: Any, name: str = "f", **options: Any) -> list[Answer]:
    calls = [Call(args if isinstance(args, tuple) else (args,)) for args in arguments]
    return results.ask(judge, [(code, name, calls)], **options)[0]


def test_the_table(judge: Sandbox) -> None:
    code = "def f(x, k):\n    if k == 0:\n        raise ValueError\n    return x[::-1], {k: len(x)}\n"
    first, second, third = answers(judge, code, ([1, 2, 3], 2), ("ab", 0), ("ab", 5))
    assert first.value == ([3, 2, 1], {2: 3})
    assert (second.value, second.why) == (None, "ValueError")
    assert third.value == ("ba", {5: 2})


VALUES: list[Any] = [
    None, True, 3, -1.5, "ä\n", [], [1, [2]], (1, ("a",)), {1, 2}, frozenset({"x"}), {"a": {3: (4,)}}, {"$odd": 1},
    b"\x00\xff", 2j, 1 << 5000,
]  # fmt: skip


def test_plain_data_come_through_both_ways(judge: Sandbox) -> None:
    result = answers(
        judge, "def f(x):\n    print('noise', end='')\n    return x\n", *((value,) for value in VALUES), largest=2000
    )
    assert [answer.value for answer in result] == VALUES
    assert [type(answer.value) for answer in result] == [type(value) for value in VALUES]


@pytest.mark.parametrize(
    ("code", "why"),
    [
        ("def f(x):\n    return object()\n", "TypeError"),
        ("def f(x):\n    return input()\n", "EOFError"),
        ("def f(x):\n    while True: pass\n", "Timeout"),
        ("def f(x):\n    raise SystemExit\n", "no answer among what it prints"),
        ("def f(x:\n", "SyntaxError"),
        ("def g(x):\n    return 1\n", "NameError"),
        ("def f(x):\n    return 'x' * 2000\n", "an answer of more than 1000 characters"),
        ("def f(x):\n    print('x' * 40000)\n    return 1\n", "no answer among what it prints"),
    ],
    ids=["no data", "input", "late", "exits", "no Python", "another name", "too long", "noise"],
)
def test_what_gives_no_answer_says_why(judge: Sandbox, code: str, why: str) -> None:
    (answer,) = answers(judge, code, 1)
    assert (answer.value, answer.why) == (None, why)


def test_an_answer_of_as_many_characters_as_are_allowed_is_one(judge: Sandbox) -> None:
    """Ten letters and two quotes."""
    code = "def f(x):\n    return 'x' * 10\n"
    assert answers(judge, code, 1, largest=12)[0].value == "x" * 10
    assert answers(judge, code, 1, largest=11)[0].why == "an answer of more than 11 characters"


def test_a_program_may_have_names_of_its_own(judge: Sandbox) -> None:
    code = "list = dict = len = json = type = sorted = print = None\ndef f(x):\n    return {'a': [x]}\n"
    assert answers(judge, code, 1)[0].value == {"a": [1]}


def test_no_call_sees_what_another_left_behind(judge: Sandbox) -> None:
    code = "seen = []\ndef f(x):\n    seen.append(x)\n    return len(seen)\n"
    assert [answer.value for answer in answers(judge, code, 5, 6, 7)] == [1, 1, 1]


@pytest.mark.parametrize(
    ("body", "kept"),
    [
        ("import random\ndef f(x):\n    return random.random()\n", False),
        ("import time\ndef f(x):\n    return time.time_ns()\n", False),
        ("import os\ndef f(x):\n    return os.urandom(8)\n", False),
        ("import random\ndef f(x):\n    random.seed(x)\n    return random.random()\n", True),
        ("def f(x):\n    return {str(x), 'a', 'b'}\n", True),
    ],
    ids=["random", "time", "system", "seeded", "set"],
)
def test_what_differs_between_two_runs_is_no_answer(judge: Sandbox, body: str, kept: bool) -> None:
    runs = [(body, "f", [Call((3,), seed=seed)]) for seed in (1, 2)]
    (answer,) = results.steady(results.ask(judge, runs))
    assert (answer.why == "") == kept
    assert answer.why in ("", "unsteady")


def test_calls_after_some_that_are_late_are_asked_again(judge: Sandbox) -> None:
    code = "def f(x):\n    while x < 3:\n        pass\n    return x\n"
    result = answers(judge, code, 0, 1, 2, 3, 4)
    assert [answer.why for answer in result] == ["Timeout"] * 3 + [""] * 2
    assert [answer.value for answer in result[3:]] == [3, 4]


def test_nothing_of_a_function_runs_at_home(judge: Sandbox, tmp_path: Path) -> None:
    place = tmp_path / "ran"
    code = f"open({str(place)!r}, 'w').close()\ndef f(x):\n    open({str(place)!r}, 'w').close()\n    return 1\n"
    answers(judge, code, 1)
    assert not place.exists()
