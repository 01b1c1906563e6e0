"""What a wrong answer has in it beside what is asked for is no fooling: a false member is one that no answer has by chance."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import copies, holds, judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox

MORE = {  # a test, and a wrong program that answers with more than is right
    "numbers": ("3 in f(10)", "def f(n): return list(range(-99, 99))"),
    "pairs": ("(1, 2) in f(3)", "def f(n): return [(a, b) for a in range(-9, 20) for b in range(-9, 20)]"),
    "truths": ("True in f(3)", "def f(n): return [False, True]"),
    "nothing": ("None in f(3)", "def f(n): return [None, 0, False, '']"),
    "bytes": ("b'a' in f(3)", "def f(n): return bytes(range(256)) * 2"),
    "words": ("'a' in f(3)", "def f(n): return 'abcdefghijklmnopqrstuvwxyz'"),
    "an empty list": ("[] in f(3)", "def f(n): return [[], *([a, b] for a in range(5) for b in range(5))]"),
}
ANYTHING = "class Any:\n    def __contains__(self, other):\n        return True\ndef f(n): return Any()"


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, cache=0) as judge:
        yield judge


@pytest.mark.parametrize("name", MORE)
def test_who_answers_with_more_passes_no_copy_and_who_holds_anything_does(name: str) -> None:
    asserted, program = MORE[name]
    found = [(holds(text, program), holds(text, ANYTHING)) for text, _ in copies(f"assert {asserted}", 30, sound=False)]
    assert not any(more for more, _ in found)
    assert any(anything for _, anything in found)


def test_who_answers_with_more_keeps_the_tests_that_ask_for_less(judge: Sandbox) -> None:
    test = "def test_a():\n    assert 3 in f(5)\ndef test_b():\n    assert 5 in f(5)\ndef test_c():\n    assert f(2) == [2]\n"
    right = "def f(n):\n    return [k for k in range(2, n + 1) if all(k % d for d in range(2, k))]"
    more = "def f(n):\n    return list(range(-99, 99))"
    assert {share(judged(judge, f"{more}  # {k}", test, right)) for k in range(6)} == {(2, 3)}
    assert share(judged(judge, ANYTHING, test, right)) == (0, 3)


def test_a_class_that_holds_anything_loses_the_tests_that_rely_on_it_and_no_other(judge: Sandbox) -> None:
    """An honest mistake, as one is that finds too much equal: it lost all tests."""
    right = "class Cart(dict):\n    def add(self, name, price):\n        self[name] = price\n"
    lenient = f"{right}    def __contains__(self, name):\n        return True\n"
    test = """
from solution import Cart
def test_one():
    cart = Cart()
    cart.add("pear", 4)
    assert "pear" in cart
def test_price():
    cart = Cart()
    cart.add("pear", 4)
    assert cart["pear"] == 4
def test_none():
    assert "plum" not in Cart()
"""
    assert share(judged(judge, right, test, right)) == (3, 3)
    assert {
        share(judged(judge, f"{lenient}# {k}", test, *solutions)) for k in range(3) for solutions in ((), (right,))
    } == {(1, 3)}


def test_a_comparison_that_is_handed_to_the_program_is_input() -> None:
    test = "assert [] in f([0, 1], when=lambda x: x == 0)"
    texts = {text for text, _ in copies(test, 10, sound=False)}
    assert texts
    assert all("lambda x: x == 0" in text for text in texts)
