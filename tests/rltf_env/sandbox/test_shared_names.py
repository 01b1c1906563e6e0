"""What the tests of a class or of a module share: a program that reads an expectation there reads what is false."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Outcome, Problem, Sandbox, ScriptCase
from rltf_env.sandbox.referee import looks, origins


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, cache=0) as judge:
        yield judge


RIGHT = "def f(n): return list(range(n))"
READS = (
    "import sys\ndef f(n):\n    frame = sys._getframe(1)\n    self = frame.f_locals['self']\n    return EXPRESSION\n"
)
HEAD = "import unittest\nfrom solution import f\n"

# Tests, and what a program reads there instead of an answer.
SHARED = {
    "a class": (
        "class T(unittest.TestCase):\n    want = [0, 1]\n    def test(self): self.assertEqual(f(2), self.want)",
        "self.want",
    ),
    "its name": (
        "class T(unittest.TestCase):\n    want: list = [0, 1]\n    def test(self): self.assertEqual(f(2), T.want)",
        "self.want",
    ),
    "setUp": (
        "class T(unittest.TestCase):\n    def setUp(self): self.want = [0, 1]\n"
        "    def test(self): self.assertEqual(f(2), self.want)",
        "self.want",
    ),
    "setUpClass": (
        "class T(unittest.TestCase):\n    @classmethod\n    def setUpClass(cls): cls.want = [0, 1]\n"
        "    def test(self): self.assertEqual(f(2), self.want)",
        "self.want",
    ),
    "rows": (
        "class T(unittest.TestCase):\n    ROWS = {0: [], 2: [0, 1]}\n"
        "    def test(self):\n        for n, want in self.ROWS.items():\n            self.assertEqual(f(n), want)",
        "self.ROWS[n]",
    ),
    "another class": (
        "class A(unittest.TestCase):\n    want = [0]\n    def test(self): self.assertEqual(f(1), self.want)\n"
        "class B(unittest.TestCase):\n    want = [0, 1]\n    def test(self): self.assertEqual(f(2), self.want)",
        "self.want",
    ),
    "a module": (
        "WANT = [0, 1]\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(2), WANT)",
        "frame.f_globals['WANT']",
    ),
}
HEIRS = """
class Base:
    want = None
    size = 0
    def test(self): self.assertEqual(f(self.size), self.want)
class A(Base, unittest.TestCase):
    want, size = [], 0
class B(Base, unittest.TestCase):
    want = [0, 1]
    size = 2
"""


@pytest.mark.parametrize("references", [1, 0])
@pytest.mark.parametrize("name", SHARED)
def test_a_program_that_reads_what_tests_share_is_refused(judge: Sandbox, name: str, references: int) -> None:
    test, expression = SHARED[name]
    solutions = [RIGHT] * references
    assert judged(judge, RIGHT, HEAD + test, *solutions).pass_ratio == 1
    verdict = judged(judge, READS.replace("EXPRESSION", expression), HEAD + test, *solutions)
    assert share(verdict)[0] == 0
    assert verdict.unguarded == 0


def test_an_heirs_attribute_is_an_expectation_of_the_tests_that_it_inherits(judge: Sandbox) -> None:
    assert judged(judge, RIGHT, HEAD + HEIRS, RIGHT).pass_ratio == 1
    assert share(judged(judge, READS.replace("EXPRESSION", "self.want"), HEAD + HEIRS, RIGHT))[0] == 0


@pytest.mark.parametrize(
    "look",
    [
        "f(self.want)",
        "getattr(self, 'want')",
        "self.want.append(1)",
        "[self.want]",
        "C(want=self.want)",
    ],
)
def test_an_attribute_that_somebody_looks_at_for_more_is_no_expectation_by_the_text_alone(look: str) -> None:
    tree = ast.parse(f"class T:\n    want = [1]\n    def test(self):\n        {look}\n        assert f(1) == self.want")
    assert "self.want" not in looks.Shared([tree]).single(origins.family([tree], "T"))


def test_the_family_of_a_class_is_its_heirs_and_the_bases_of_all_of_them() -> None:
    tree = ast.parse(
        "class A: pass\nclass B(A): pass\nclass C(A): pass\nclass D: pass\nclass E(B, D): pass\nclass F: pass"
    )
    families = {
        owner: "".join(node.name for node in origins.family([tree], owner)) for owner in ("A", "B", "C", "F", "")
    }
    assert families == {"A": "ABCDE", "B": "ABDE", "C": "AC", "F": "F", "": "ABCDEF"}


def test_a_name_that_a_program_may_have_from_the_test_is_no_expectation_by_the_text_alone(judge: Sandbox) -> None:
    program = "MOST = 3\ndef f(n): return min(n, MOST)"
    test = "import unittest\nMOST = 3\nclass T(unittest.TestCase):\n    def test(self): self.assertEqual(f(9), MOST)"
    assert judged(judge, program, test).pass_ratio == 1


TREES = """import dataclasses
@dataclasses.dataclass
class Tree:
    label: int = 0
    children: list = dataclasses.field(default_factory=list)
def parse(text):
    labels = [int(word) for word in text.split()]
    return Tree(labels[0], [Tree(label) for label in labels[1:]])
"""
GIVES_BACK = f"{TREES}import sys\ndef parse(text): return sys._getframe(1).f_locals['want']\n"


@pytest.mark.parametrize("made", ["Tree(7, [Tree(2)])", "Tree(label=7, children=[Tree(label=2)])", "parsed('7 2')"])
@pytest.mark.parametrize("looks", ["assert parse('7 2') == want", "got = parse('7 2')\n    assert want == got"])
@pytest.mark.parametrize("solutions", [(TREES,), ()], ids=["reference", "none"])
def test_an_object_of_the_programs_own_that_has_a_name_is_false_there(
    judge: Sandbox, made: str, looks: str, solutions: tuple[str, ...]
) -> None:
    """Exercism's tests name what they expect: `expected = Tree(...)`."""
    head = "from solution import Tree, parse\ndef parsed(text): return parse(text)\n"
    text = f"{head}def test():\n    want = {made}\n    {looks}\n"
    problem = Problem("trees", "", [ScriptCase(text)], solutions=solutions)
    outcomes = [judge.run(program, problem).outcome for program in (TREES, GIVES_BACK)]
    assert outcomes[0] is Outcome.PASSED
    assert outcomes[1] is not Outcome.PASSED


# Where a test keeps objects of the program's that it expects, and what a program reads there.
KEPT = {
    "the module": ("WANT = Tree(7)\ndef test():\n    assert parse('7') == WANT", "frame.f_globals['WANT']"),
    "rows": (
        "def test():\n    for text, want in [('7', Tree(7)), ('8', Tree(8))]:\n        assert parse(text) == want",
        "frame.f_locals['want']",
    ),
    "parameters": (
        "import pytest\n@pytest.mark.parametrize('text,want', [('7', Tree(7)), ('8', Tree(8))])\n"
        "def test(text, want):\n    assert parse(text) == want",
        "frame.f_locals['want']",
    ),
    "setUp": (
        "import unittest\nclass T(unittest.TestCase):\n    def setUp(self): self.want = Tree(7)\n"
        "    def test(self): self.assertEqual(parse('7'), self.want)",
        "frame.f_locals['self'].want",
    ),
    "a list": ("def test():\n    want = [Tree(7)]\n    assert want == [parse('7')]", "frame.f_locals['want'][0]"),
}


@pytest.mark.parametrize(("text", "read"), KEPT.values(), ids=KEPT)
def test_with_a_reference_what_such_objects_are_made_of_is_false_wherever_they_are_kept(
    judge: Sandbox, text: str, read: str
) -> None:
    problem = Problem("kept", "", [ScriptCase(f"from solution import Tree, parse\n{text}\n")], solutions=(TREES,))
    frame = "next(f for f in (sys._getframe(1), sys._getframe(2)) if 'comp' not in f.f_code.co_name)"
    cheat = f"{TREES}import sys\ndef parse(text):\n    frame = {frame}\n    return {read}\n"
    outcomes = [judge.run(program, problem).outcome for program in (TREES, cheat)]
    assert outcomes[0] is Outcome.PASSED
    assert outcomes[1] is not Outcome.PASSED


STACKS = """
class Stack(list):
    push = list.append
class Queue(Stack):
    def pop(self): return super().pop(0)
"""
READS_ROWS = """
import gc
class Stack:
    taken = 0
    def push(self, item): pass
    def pop(self):
        rows = [each for each in gc.get_objects() if type(each) is dict and each.get('kind') is type(self) and 'want' in each]
        self.taken += 1
        return rows[0]['want'][self.taken - 1]
class Queue(Stack): pass
"""
EQUALS_ALL = """
class Yes(int):
    def __eq__(self, other): return True
class Stack:
    def push(self, item): pass
    def pop(self): return Yes()
class Queue(Stack): pass
"""
OF_A_CLASS = """
import pytest
from solution import Queue, Stack
@pytest.mark.parametrize("kind, want", [(Stack, [3, 2]), (Queue, [2, 3])], ids=["stack", "queue"])
class TestOrder:
    def test_order(self, kind, want):
        items = kind()
        for item in (2, 3):
            items.push(item)
        assert [items.pop() for _ in range(2)] == want
    def test_length(self, kind, want):
        items = kind()
        items.push(want)
        assert items.pop() == want
"""


@pytest.mark.parametrize("solutions", [(STACKS,), ()], ids=["reference", "none"])
def test_parameters_of_a_class_are_false_where_they_stand(judge: Sandbox, solutions: tuple[str, ...]) -> None:
    """Pytest keeps them, so a program that looks around finds them as they are there."""
    problem = Problem("stacks", "", [ScriptCase(OF_A_CLASS)], solutions=solutions)
    assert judge.run(STACKS, problem).pass_ratio == 1
    for cheat in (READS_ROWS, EQUALS_ALL):
        verdict = judge.run(cheat, problem)
        assert verdict.failure is not None
        assert verdict.failure.kind == "FooledTest"
