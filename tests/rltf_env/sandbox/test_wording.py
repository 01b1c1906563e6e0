"""What a test says of an expectation is changed with it, and nothing else is."""

from __future__ import annotations

import ast
import random

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.sandbox.referee import suite, wording
from rltf_env.sandbox.referee.canaries import Canaries

TOLD = [
    ("assert f(2) == 4, '2 makes 4, not 14'", "assert f(2) == 7, '2 makes 7, not 14'"),
    ("assert f(2) == 4, ('want', 4, f(2))", "assert f(2) == 7, ('want', 7, f(2))"),
    (
        "def test():\n    text = 'not 4'\n    assert f(2) == 4, text",
        "def test():\n    text = 'not 7'\n    assert f(2) == 7, text",
    ),
    (
        "def test():\n    text = 'of 4'\n    assert f(text) == 4, text",
        "def test():\n    text = 'of 4'\n    assert f(text) == 7, text",
    ),
    ("case.assertEqual(f(2), 4, '4 it is')", "case.assertEqual(f(2), 7, '7 it is')"),
    ("case.assertTrue(f(2) == 4, f'4, not {f(2)}')", "case.assertTrue(f(2) == 7, f'7, not {f(2)}')"),
    ("case.assertAlmostEqual(f(2), 4, 4)", "case.assertAlmostEqual(f(2), 7, 4)"),
    ("if f(2) != 4: raise AssertionError('not 4')", "if f(2) != 7: raise AssertionError('not 7')"),
    ("with case.subTest(want=4): assert f('4 2') == 4", "with case.subTest(want=7): assert f('4 2') == 7"),
    ("def test():\n    'Two make 4.'\n    assert f(2) == 4", "def test():\n    'Two make 7.'\n    assert f(2) == 7"),
    (
        "def test():\n    print('want', 4)\n    assert f(2) == 4",
        "def test():\n    print('want', 7)\n    assert f(2) == 7",
    ),
    (  # what a program may be handed, or catch
        "def test():\n    def g():\n        'Of 4.'\n        print(4)\n    assert f(g) == 4",
        "def test():\n    def g():\n        'Of 4.'\n        print(4)\n    assert f(g) == 7",
    ),
    (
        "def test():\n    'Of 4.'\n    with f() as out: print(4)\n    assert out == 4",
        "def test():\n    'Of 7.'\n    with f() as out: print(4)\n    assert out == 7",
    ),
]


@pytest.mark.parametrize(("text", "changed"), TOLD)
def test_what_tells_of_a_value_tells_of_what_it_becomes(text: str, changed: str) -> None:
    tree = ast.parse(text)
    places = wording.scopes(tree)
    compared = [node for node in ast.walk(tree) if isinstance(node, ast.Compare)]
    sides = (
        compared[0].comparators
        if compared
        else next(node for node in ast.walk(tree) if isinstance(node, ast.Call)).args[1:]
    )
    before = wording.values(sides[0])
    sides[0].value = 7  # type: ignore[attr-defined]
    wording.reword(places[id(sides[0])], before, wording.values(sides[0]))
    assert ast.dump(tree) == ast.dump(ast.parse(changed))


def test_a_right_program_hands_on_what_a_test_gives_it() -> None:
    test = """
import pytest
from solution import quietly
def test_docstring():
    @quietly
    def g():
        "Adds numbers."
    assert g.__doc__ == "Adds numbers."
def test_output(capsys):
    @quietly
    def g():
        print("hello")
    g()
    assert capsys.readouterr().out.strip() == "hello"
def test_output_of_a_lambda(capsys):
    quietly(lambda: print("hey"))()
    assert capsys.readouterr().out.strip() == "hey"
def test_exception():
    @quietly
    def g():
        raise AssertionError("boom")
    with pytest.raises(AssertionError) as info:
        g()
    assert str(info.value) == "boom"
"""
    with sandbox.load(workers=1) as judge:
        assert share(judged(judge, "quietly = lambda f: f", test)) == (4, 4)
        assert share(judged(judge, "quietly = lambda f: lambda: None", test)) == (0, 4)


def test_docstrings_of_the_class_and_of_the_file_tell_of_a_value_and_other_tests_do_not() -> None:
    tree = ast.parse(
        "'f(2) is 4'\nclass T:\n    'Of 4'\n    def test(self): assert f(2) == 4\ndef test():\n    'also 4'\n"
    )
    number = next(node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == 4)
    wording.reword(wording.scopes(tree)[id(number)], [4], [5])
    assert [word in ast.unparse(tree) for word in ("f(2) is 5", "Of 5", "also 4")] == [True] * 3


def test_docstrings_of_the_tests_of_a_class_tell_of_its_values() -> None:
    tree = ast.parse("class T:\n    WANT = 4\n    def test(self):\n        'Of 4'\n        assert f(2) == self.WANT\n")
    number = next(node for node in ast.walk(tree) if isinstance(node, ast.Constant) and node.value == 4)
    wording.reword([tree.body[0]], [4], [5])
    assert number.value == 4
    assert "Of 5" in ast.unparse(tree)


def test_a_change_that_leaves_another_number_of_values_changes_no_words() -> None:
    tree = ast.parse("assert f(2) == [], 'not 4'")
    wording.reword(wording.scopes(tree)[id(tree.body[0])], [4], [4, 5])
    assert "not 4" in ast.unparse(tree)


def test_none_is_no_word_for_what_has_become_another() -> None:
    tree = ast.parse("assert f(2) == 4, None")
    wording.reword(wording.scopes(tree)[id(tree.body[0])], [4, 2], [5, 2])
    assert ast.unparse(tree) == "assert f(2) == 4, None"


def test_a_copy_of_a_test_has_no_value_left_that_it_falsifies() -> None:
    text = "from solution import f\ndef test_a():\n    'It is 294.'\n    assert f(2) == 294, '294 it should be'\n"
    canaries = Canaries(suite.read([text], "f", {"f"}, []), {"f"})
    copies = [ast.unparse(canaries.falsified(canaries.choose(random.Random(n)).values())[0]) for n in range(20)]
    assert sum("== 294" not in copy for copy in copies) > 10
    assert all("294" not in copy for copy in copies if "== 294" not in copy)
