"""Copies in which no error is expected: a program that raises one whenever its caller names one is found out."""

from __future__ import annotations

import ast
import textwrap
from collections.abc import Iterator

import pytest
from judged_suites import copies, holds, judged

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee import suite
from rltf_env.sandbox.referee.canaries import Canaries, Falsehood
from rltf_env.sandbox.referee.raising import ExpectNothing

_HEAD = "import unittest\nfrom solution import f, g, Bad\n"
_RIGHT = """
class Bad(Exception): pass
def f(x):
    if x < 0: raise Bad("neg")
    return x + 1
def g(x): return -x
"""
_NAMED = """
import sys
class Bad(Exception): pass
def f(x):
    frame = sys._getframe(1)
    while frame.f_code.co_filename != "<test>":
        frame = frame.f_back
    if SEEN: raise Bad("neg")
    return x + 1
def g(x): return -x
"""
_FORMS = {
    "with": "with self.assertRaises(Bad):\n    f(-1)",
    "beside values": "self.assertEqual(g(2), -2)\nwith self.assertRaises(Bad):\n    f(-1)",
    "named": "with self.assertRaises(Bad) as caught:\n    f(-1)\nerror = caught.exception\nself.assertIsInstance(error, Bad)",
    "in front": "import contextlib\nwith self.assertRaises(Bad), contextlib.nullcontext():\n    f(-1)",
    "at once": "self.assertRaises(Bad, f, -1)",
    "at once, with a pattern": "self.assertRaisesRegex(Bad, 'n', f, -1)",
    "in a subtest": "for x, kind in [(-1, Bad), (-2, Bad)]:\n    with self.subTest(x=x), self.assertRaises(kind):\n        f(x)",
    "by a name": "for x, kind in [(-1, Bad), (-2, Bad)]:\n    self.assertRaises(kind, f, x)",
    "tried": "try:\n    f(-1)\n    self.fail('no error')\nexcept Bad:\n    pass",
    "tried, or else": "try:\n    f(-1)\nexcept Bad as e:\n    self.assertIn('neg', str(e))\nelse:\n    self.fail('no error')",
    "noted": "raised = False\ntry:\n    f(-1)\nexcept Bad:\n    raised = True\nself.assertTrue(raised)",
    "kept": "caught = None\ntry:\n    f(-1)\nexcept Exception as error:\n    caught = error\nself.assertIsInstance(caught, Bad)",
}


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        yield judge


def _suite(body: str) -> str:
    method = "    def test_error(self):\n" + textwrap.indent(body, " " * 8)
    return (
        f"{_HEAD}class T(unittest.TestCase):\n    def test_value(self):\n        self.assertEqual(f(1), 2)\n{method}\n"
    )


@pytest.mark.parametrize("form", sorted(_FORMS))
def test_a_program_that_raises_whenever_its_caller_names_its_error_is_found_out(judge: Sandbox, form: str) -> None:
    test = _suite(_FORMS[form])
    right = judged(judge, _RIGHT + "# as its reference", test, _RIGHT)
    assert (right.pass_ratio, right.unguarded) == (1, 0)
    seen = "Bad in frame.f_locals.values()" if "kind" in test else "'Bad' in frame.f_code.co_names"
    verdict = judged(judge, _NAMED.replace("SEEN", seen), test, _RIGHT)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


@pytest.mark.parametrize(
    "body",
    ["error = pytest.raises(ValueError, f, -1)\nassert error.value",
     "import io\nwith pytest.raises(ValueError) as error, io.StringIO() as file:\n    f(-1)\nassert error.value",
     "with pytest.raises(ValueError):\n    f(-1)", "pytest.raises(ValueError, f, -1)",
     "with pytest.raises(ValueError) as caught:\n    f(-1)\nassert caught.value",
     "try:\n    f(-1)\n    assert False\nexcept ValueError as error:\n    assert error",
     "try:\n    f(-1)\nexcept ValueError:\n    pass\nelse:\n    raise AssertionError"],
)  # fmt: skip
def test_a_copy_that_expects_no_error_holds_for_what_raises_none_and_names_none(body: str) -> None:
    test = f"import pytest\ndef test():\n{textwrap.indent(body, '    ')}\n"
    texts = [text for text, target in copies(test, 3) if isinstance(target.change, ExpectNothing)]
    assert texts
    for text in texts:
        assert "ValueError" not in text
        assert holds(f"{text}\ntest()", "def f(x): return x")
        assert not holds(f"{text}\ntest()", "def f(x): raise ValueError")


def test_a_handler_that_is_for_no_expected_error_is_left_alone() -> None:
    for body, last in (("y = None", "y == 2"), ("raise AssertionError", "y == 2"), ("y = True", "y or f(2) == 2")):
        test = f"def test():\n    y = 0\n    try:\n        y = f(1)\n    except ValueError:\n        {body}\n    assert {last}\n"
        assert not [target for _, target in copies(test, 1, sound=False) if isinstance(target.change, ExpectNothing)]


@pytest.mark.parametrize("called", ["*args", "*args, **named", "args[0], *args[1:]"])
def test_an_error_may_be_expected_of_a_function_among_arguments(called: str) -> None:
    test = f"""
import unittest
class TestF(unittest.TestCase):
    def complains(self, *args, **named):
        self.assertRaises(ValueError, {called})
    def test_f(self):
        self.complains(f, "x")
"""
    canaries = Canaries(suite.read([test], "f", {"f"}, []), ["f"])
    trees = [tree for sites in canaries.helpers for site in sites for tree in canaries.falsified([Falsehood(site, 0)])]
    assert any("assertRaises" not in ast.unparse(tree) for tree in trees)
    assert all(compile(tree, "test", "exec") for tree in trees)
