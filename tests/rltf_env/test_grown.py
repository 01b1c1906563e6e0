"""Grown programs: words that have one meaning, cases that take every branch, splits that share no held-out pair."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

from rltf_env import datasets, sandbox
from rltf_env.core import CallCase, Outcome, Problem
from rltf_env.datasets import _grown_drawing as drawing
from rltf_env.datasets import _grown_grammar as g
from rltf_env.datasets import _grown_running as r
from rltf_env.datasets import grown
from rltf_env.errors import UnknownName, UsageError
from rltf_env.facts import of as facts_of
from rltf_env.testing import check_dataset, check_source

# What these were when they were first published: a change here is a new version of the dataset.
GOLDEN = {
    "ladder": (
        "grown/train/3/2",
        (
            "Given an integer x, if the absolute value of x is below 35, return (x modulo 8) plus 8; else "
            "if x modulo 6 is below 1, return (x minus 3) plus 12; else if x modulo 3 differs from 1, "
            "return 10; otherwise, return (x minus 6) plus 15."
        ),
        (
            "def f(x):\n    if abs(x) < 35:\n        return x % 8 + 8\n    elif x % 6 < 1:\n        return x - "
            "3 + 12\n    elif x % 3 != 1:\n        return 10\n    else:\n        return x - 6 + 15\n"
        ),
    ),
    "nest": (
        "grown/train/3/6",
        (
            "Given an integer x and an integer y, if x differs from 13, (if x plus 9 is at most y, return "
            "y times 5; otherwise, return (x minus 5) times 2); otherwise, (if x times y differs from x, "
            "return x plus 7; otherwise, return (x plus 4) plus 24)."
        ),
        (
            "def f(x, y):\n    if x != 13:\n        if x + 9 <= y:\n            return y * 5\n        "
            "else:\n            return (x - 5) * 2\n    elif x * y != x:\n        return x + 7\n    "
            "else:\n        return x + 4 + 24\n"
        ),
    ),
    "loop": (
        "grown/train/3/0",
        (
            "Given a list of integers x, let n be 0; for each v of x, (if v plus 5 is at most 5, stop the "
            "loop; if v is above 7, add v to n; otherwise, add (v times 3) times v to n); return n."
        ),
        (
            "def f(x):\n    n = 0\n    for v in x:\n        if v + 5 <= 5:\n            break\n        if v > "
            "7:\n            n += v\n        else:\n            n += v * 3 * v\n    return n\n"
        ),
    ),
}


def some(split: str = "train", n: int = 30, low: int = 1, high: int = 7, seed: int = 0) -> list[Problem]:
    rng = np.random.default_rng(seed)
    return [grown.draw(rng, split, low + i % (high - low + 1)) for i in range(n)]


def calls(problem: Problem) -> list[CallCase]:
    return [case for case in (*problem.cases, *problem.examples) if isinstance(case, CallCase)]


def run(source: str) -> Callable[..., Any]:
    names: dict[str, Any] = {}
    exec(source, names)  # our own references
    return names["f"]


# ------------------------------------------------------------------------------------------------- words to trees


class Reader:
    """Statements parsed back into trees: written against the words alone, and it looks one word ahead."""

    TOKEN = re.compile(
        r"-?\d+|the absolute value of|the length of|the sum of|the largest \(or 0\) of|the smallest \(or 0\) of|is below|"
        r"is above|is at most|is at least|is even|is odd|equals|differs from|for each|from low to high|stop the loop|"
        r"go on with the next|else if|\w+|[(),;.]"
    )

    def __init__(self, text: str) -> None:
        self.left = self.TOKEN.findall(text)

    @property
    def ahead(self) -> str:
        return self.left[0]

    def take(self, *expected: str) -> str:
        token = self.left.pop(0)
        assert not expected or token in expected, f"expected {expected}, got {token!r} before {self.left[:5]}"
        return token

    def took(self, token: str) -> bool:
        return self.ahead == token and bool(self.take())

    def program(self) -> g.Program:
        self.take("Given")
        parameters = [self.parameter()]
        if self.took("and"):
            parameters.append(self.parameter())
        self.take(",")
        body = self.block(".")
        assert not self.left
        return g.Program(tuple(parameters), body)

    def parameter(self) -> tuple[str, bool]:
        listed = self.take("a", "an") == "a"
        for _ in range(3 if listed else 1):
            self.take("list", "of", "integers", "integer")
        return self.take(), listed

    def block(self, end: str) -> g.Block:
        made = [self.statement()]
        while self.take(";", end) == ";":
            made.append(self.statement())
        return tuple(made)

    def body(self) -> g.Block:
        self.take(",")
        return self.block(")") if self.took("(") else (self.statement(),)

    def statement(self) -> g.Statement:
        match self.take():
            case "return":
                return g.Return(self.expression())
            case "let":
                name = self.take()
                self.take("be")
                return g.Let(name, self.expression())
            case "stop the loop":
                return g.Stop()
            case "go on with the next":
                return g.Skip()
            case "for each":
                name, _, over = self.take(), self.take("of"), self.take()
                ordered = self.took("from low to high")
                return g.For(name, over, ordered, self.body())
            case "if":
                return self.choice()
            case "multiply":
                name, _ = self.take(), self.take("by")
                return g.Change("multiply", name, self.expression())
            case op:
                assert op in ("add", "subtract")
                value = self.expression()
                self.take("to" if op == "add" else "from")
                return g.Change(op, self.take(), value)

    def choice(self) -> g.If:
        cases = [(self.condition(), self.body())]
        while self.ahead == ";" and self.left[1] in ("else if", "otherwise"):
            self.take()
            if self.take() == "otherwise":
                return g.If(tuple(cases), self.body())
            cases.append((self.condition(), self.body()))
        return g.If(tuple(cases))

    def condition(self) -> g.Condition:
        first = self.comparison()
        return g.And(first, self.comparison()) if self.took("and") else first

    def comparison(self) -> g.Condition:
        left, said = self.expression(), self.take()
        if said in ("is even", "is odd"):
            return g.Parity(said[3:], left)
        return g.Compare(next(op for op, (text, _) in g.COMPARISONS.items() if text == said), left, self.expression())

    def expression(self) -> g.Expression:
        left = self.operand()
        return g.Binary(self.take(), left, self.operand()) if self.ahead in g.ARITHMETIC else left

    def operand(self) -> g.Expression:
        token = self.take()
        if token == "(":
            inner = self.expression()
            self.take(")")
            return inner
        function = next((op for op, (text, _) in g.FUNCTIONS.items() if text == token), None)
        if function:
            return g.Call(function, self.operand())
        return g.Number(int(token)) if re.fullmatch(r"-?\d+", token) else g.Name(token)


@pytest.mark.parametrize("split", grown.SPLITS)
def test_a_statement_read_back_is_its_tree(split: str) -> None:
    for problem in some(split, 30, 1, 9):
        program = Reader(problem.statement).program()
        assert g.words(program) == problem.statement
        assert g.code(program) == problem.solutions[0]
        assert g.tags(program) == problem.meta["tags"]


def test_every_node_has_words_and_python() -> None:
    found = {tag for split in grown.SPLITS for problem in some(split, 40) for tag in problem.meta["tags"]}
    assert found == set(g.NODES)


def test_words_and_python_of_a_program_worked_by_hand() -> None:
    body = (
        g.Let("n", g.Number(0)),
        g.For("v", "x", True, (
            g.If(((g.Parity("odd", g.Name("v")), (g.Skip(),)), (g.And(g.Compare("above", g.Name("v"), g.Number(-3)),
                  g.Compare("different", g.Name("y"), g.Name("v"))), (g.Stop(),)))),
            g.Change("add", "n", g.Binary("modulo", g.Call("absolute", g.Binary("minus", g.Name("v"), g.Number(1))), g.Number(4))),
        )),
        g.If(((g.Compare("at most", g.Name("n"), g.Call("largest", g.Name("x"))), (g.Return(g.Number(7)),)),),
             (g.Return(g.Binary("times", g.Name("n"), g.Number(2))),)),
    )  # fmt: skip
    program = g.Program((("x", True), ("y", False)), body)
    assert g.words(program) == (
        "Given a list of integers x and an integer y, let n be 0; for each v of x from low to high, (if v is odd, go on with "
        "the next; else if v is above -3 and y differs from v, stop the loop; add (the absolute value of (v minus 1)) modulo 4 "
        "to n); if n is at most the largest (or 0) of x, return 7; otherwise, return n times 2."
    )
    assert g.code(program) == (
        "def f(x, y):\n    n = 0\n    for v in sorted(x):\n        if v % 2 == 1:\n            continue\n"
        "        elif v > -3 and y != v:\n            break\n        n += abs(v - 1) % 4\n"
        "    if n <= max(x, default=0):\n        return 7\n    else:\n        return n * 2\n"
    )
    assert g.conditionals(program) == 4
    assert g.pairs(program) == (
        ("absolute", "minus"), ("add", "modulo"), ("and", "above"), ("and", "different"), ("at most", "largest"),
        ("modulo", "absolute"), ("return", "times"),
    )  # fmt: skip
    assert g.constants(program) == (("above", -3), ("minus", 1), ("modulo", 4), ("times", 2))
    trace = r.Runner(program)(([-5, -4, 3, 2], 9))
    assert (trace.value, run(g.code(program))([-5, -4, 3, 2], 9)) == (7, 7)


# ---------------------------------------------------------------------------------------------------------- problems


@pytest.mark.parametrize("kind", grown.KINDS)
def test_the_first_of_each_kind_is_as_it_was_published(kind: str) -> None:
    id, statement, reference = GOLDEN[kind]
    problem = grown.find(id)
    assert (problem.meta["kind"], problem.statement, problem.solutions[0]) == (kind, statement, reference)


@pytest.mark.parametrize("split", grown.SPLITS)
def test_a_reference_gives_what_its_cases_expect_by_pythons_own_word(split: str) -> None:
    for problem in some(split, 25, 1, 9):
        function = run(problem.solutions[0])
        for case in calls(problem):
            assert function(*case.args) == case.expected
            assert type(case.expected) is int
        assert len(problem.cases) == drawing.CASES
        assert len(problem.examples) == drawing.EXAMPLES
        given = [case.args for case in calls(problem)]
        assert all(given.count(each) == 1 for each in given)
        results = Counter(case.expected for case in calls(problem)[: drawing.CASES])
        assert max(results.values()) <= drawing.CASES // 2


def conditions(tree: ast.AST) -> list[ast.expr]:
    return [node.test for node in ast.walk(tree) if isinstance(node, ast.If)]


@pytest.mark.parametrize("split", ["train", "test"])
def test_every_condition_negated_fails_a_case(split: str) -> None:
    for problem in some(split, 20, 1, 7):
        for number in range(len(conditions(ast.parse(problem.solutions[0])))):
            tree = ast.parse(problem.solutions[0])
            test = conditions(tree)[number]
            holder = next(node for node in ast.walk(tree) if isinstance(node, ast.If) and node.test is test)
            holder.test = ast.UnaryOp(ast.Not(), test)
            wrong = run(ast.unparse(ast.fix_missing_locations(tree)))
            assert any(wrong(*c.args) != c.expected for c in calls(problem)[: drawing.CASES]), problem.statement


def test_every_line_with_code_runs_in_some_case() -> None:
    problems = some("train", 12, 2, 6)
    with sandbox.load("auto", workers=1, trace_cases=True) as judge:
        for problem, verdict in zip(problems, judge.map((p.solutions[0], p) for p in problems), strict=True):
            assert verdict.outcome is Outcome.PASSED
            assert verdict.executed == verdict.code, problem.solutions[0]


def test_the_number_of_conditionals_is_what_was_asked_for() -> None:
    for problem in some("test", 40, 1, 9):
        wanted = int(problem.id.split("/")[2])
        tree = ast.walk(ast.parse(problem.solutions[0]))
        assert sum(isinstance(node, ast.If | ast.For) for node in tree) == wanted
        assert problem.difficulty == f"conditionals-{wanted}"


def test_ids_find_problems_anywhere() -> None:
    for problem in some("seen", 8):
        assert grown.find(problem.id) == problem
    code = "from rltf_env.datasets import grown; print(grown.find('grown/test/4/12345').statement)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONHASHSEED": "7"},
    )
    assert told.stdout.strip() == grown.find("grown/test/4/12345").statement


def test_load_gives_distinct_problems_and_more_are_added_at_the_end() -> None:
    few, many = datasets.load("grown", "test", size=12), datasets.load("grown", "test", size=20)
    assert many[:12] == few
    assert len({problem.statement for problem in many}) == 20
    assert Counter(problem.difficulty for problem in few[:10]) == {f"conditionals-{n}": 2 for n in range(2, 7)}


@pytest.mark.parametrize("split", grown.SPLITS)
def test_datasets_and_sources_keep_their_contracts(split: str) -> None:
    check_dataset("grown", split=split, size=8)
    check_source(datasets.source("grown", split), draws=8)


def test_references_have_no_finding_of_the_analysis() -> None:
    for problem in some("train", 30):
        facts = facts_of(problem.solutions[0])
        assert facts is not None
        assert facts.findings == ()


# ------------------------------------------------------------------------------------------------------------ splits


def test_a_pair_of_test_never_occurs_in_train_nor_a_constant_of_seen() -> None:
    train = [Reader(problem.statement).program() for problem in some("train", 60)]
    pairs = {pair for program in train for pair in g.pairs(program)}
    constants = {each for program in train for each in g.constants(program)}
    for split in ("validation", "test"):
        for problem in some(split, 30):
            own = set(problem.meta["nodes"])
            assert {p for p in own if drawing.split_of_pair(*p) == split}
            assert not {p for p in own & pairs if drawing.split_of_pair(*p) == split}
    for problem in some("seen", 30):
        program = Reader(problem.statement).program()
        assert {drawing.split_of_pair(*p) for p in g.pairs(program)} <= {"train"}
        assert set(g.constants(program)) - constants


@pytest.mark.parametrize("split", grown.SPLITS)
def test_a_problem_belongs_where_it_is(split: str) -> None:
    for problem in some(split, 30):
        assert drawing.split_of(Reader(problem.statement).program()) == split


def test_about_a_fifth_of_the_pairs_is_held_out() -> None:
    parents = ("return", *g.CHANGES, *g.COMPARISONS, *g.PARITIES, *g.ARITHMETIC, "absolute")
    pairs = [(a, b) for a in parents for b in (*g.ARITHMETIC, *g.FUNCTIONS)]
    shares = Counter(drawing.split_of_pair(*pair) for pair in pairs)
    assert 0.12 < shares["test"] / len(pairs) < 0.28
    assert shares["train"] / len(pairs) > 0.6


# ----------------------------------------------------------------------------------------------------------- options


def test_fewer_cases_are_the_first_and_leave_branches_without_one() -> None:
    whole, two = datasets.load("grown", size=12), datasets.load("grown", size=12, cases=2)
    assert [p.cases[:2] for p in whole] == [p.cases for p in two]
    source = datasets.source("grown", "train", cases=2)
    assert len(source.find(two[0].id).cases) == 2


def test_nodes_say_what_may_occur() -> None:
    without = datasets.load("grown", size=10, conditionals=(2, 3), nodes=[n for n in grown.NODES if n != "for"])
    assert not any("for" in problem.meta["tags"] for problem in without)
    assert {problem.meta["kind"] for problem in without} <= {"ladder", "nest"}


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"conditionals": (0, 3)}, UsageError, "within 1 and 9"),
        ({"conditionals": (4, 3)}, UsageError, "within 1 and 9"),
        ({"conditionals": 4}, UsageError, "such as \\[2, 6\\], got 4"),
        ({"cases": 13}, UsageError, "1 to 12 cases"),
        ({"nodes": ["iff"]}, UnknownName, "Did you mean 'if'"),
        ({"nodes": ["if", "plus"]}, UsageError, "'if' among the nodes together with 'below' or"),
        ({"nodes": ["for", "let", "stop"]}, UsageError, "'for' among the nodes together with 'add' or"),
        ({"nodes": ["for", "let", "add"]}, UsageError, "'if' among the nodes, without which"),
        ({"nodes": "if"}, UsageError, "nodes as a list"),
        ({"size": 0}, UsageError, "size >= 1"),
        ({"split": "dev"}, UnknownName, "dev"),
    ],
)
def test_impossible_options_say_what_is_possible(options: dict[str, Any], error: type, message: str) -> None:
    with pytest.raises(error, match=message):
        grown.load(**options)


def test_nodes_that_nothing_is_made_of_are_told_after_a_while(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(grown, "PATIENCE", 5)
    with pytest.raises(UsageError, match="Allow more nodes"):
        grown.load(size=1, conditionals=(6, 6), nodes=["if", "even"])


@pytest.mark.parametrize("id", ["grown/train/0/1", "grown/dev/2/1", "grown/train/2/01", "procedural/train/2/1"])
def test_other_ids_are_unknown(id: str) -> None:
    with pytest.raises(UnknownName, match="grown/train/E/NUMBER"):
        grown.find(id)
    with pytest.raises(UnknownName, match="It is of another split"):
        datasets.source("grown", "test").find("grown/train/2/1")


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_five_hundred_references_pass_and_run_to_their_last_line() -> None:
    problems = some("test", 500, 1, 9)
    with sandbox.load("auto", trace_cases=True) as judge:
        for problem, verdict in zip(problems, judge.map((p.solutions[0], p) for p in problems), strict=True):
            assert verdict.outcome is Outcome.PASSED
            assert verdict.executed == verdict.code, problem.solutions[0]
