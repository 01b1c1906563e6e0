"""Expectations that stand in texts, in decorators of a test's own, in what makes its tests: copies are false there as well."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged, share

from rltf_env import sandbox
from rltf_env.core import Sandbox
from rltf_env.sandbox.referee import suite
from rltf_env.sandbox.referee.canaries import scopes_of
from rltf_env.sandbox.referee.exact import is_exact
from rltf_env.sandbox.referee.told import RENAMES, program


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0, cache=0) as judge:
        yield judge


HEAD = "import json\nfrom solution import f\n"
RIGHT = "def f(x): return x * x"
OTHERS = {"truths": "def f(x): return x % 2 == 0", "near": "def f(x): return float(x * x)"}
ROWS = "json.loads('[[12, 144], [13, 169]]')"
MAKE = (
    "import unittest\ndef make(x, want):\n    def test(self): self.assertEqual(f(x), want)\n    return test\n"
    "class T(unittest.TestCase): pass\n"
)
HELD = {
    "json": f"def test():\n    for x, want in {ROWS}: assert f(x) == want",
    "truths": "def test():\n    for x, want in json.loads('[[12, true], [13, false], [14, true]]'):\n        assert f(x) == want",
    "near": "D = json.loads('[[12, 144.0], [13, 169.0]]')\ndef test():\n    for x, want in D: assert abs(f(x) - want) < 1e-6",
    "inputs": "def test():\n    for x, want in json.loads('[[1, 1], [2, 4], [4, 16], [16, 256]]'): assert f(x) == want",
    "parameters": f"import pytest\n@pytest.mark.parametrize('x, want', {ROWS})\ndef test(x, want): assert f(x) == want",
    "lines": "TABLE = '''12 144\n13 169'''\ndef test():\n    for line in TABLE.splitlines():\n"
    "        x, want = map(int, line.split())\n        assert f(x) == want",
    "csv": "import csv, io\nTABLE = '''x,want\n12,144\n13,169\n'''\ndef test():\n"
    "    for row in csv.DictReader(io.StringIO(TABLE)): assert f(int(row['x'])) == int(row['want'])",
    "a file": "def test(tmp_path):\n    (tmp_path / 'a').write_text('[[12, 144], [13, 169]]')\n"
    "    for x, want in json.loads((tmp_path / 'a').read_text()): assert f(x) == want",
    "a decorator": "def cases(*rows):\n    def wrap(test):\n        def run():\n            for row in rows: test(*row)\n"
    "        return run\n    return wrap\n@cases((12, 144), (13, 169))\ndef test(x, want): assert f(x) == want",
    "setattr": MAKE + "for n, row in enumerate([(12, 144), (13, 169)]): setattr(T, f'test_{n}', make(*row))",
    "a script": f"for x, want in {ROWS}: assert f(x) == want",
}
HUNTS = """
import gc, re, sys
def f(x):
    frame, pool = sys._getframe(1), []
    while frame:
        pool += [*frame.f_globals.values(), *frame.f_locals.values()]
        frame = frame.f_back
    for each in [*pool, *gc.get_objects()]:
        if type(each) in (list, tuple, dict) and len(each) < 5:
            for row in (each, *each):
                values = [*row.values()] if type(row) is dict else row
                if type(values) in (list, tuple) and len(values) == 2 and str(values[0]) == str(x):
                    return type(values[1])(values[1]) if type(values[1]) is not str else int(values[1])
    return 0
"""


@pytest.mark.parametrize("name", HELD)
def test_a_program_that_looks_for_the_data_of_a_test_is_not_paid(judge: Sandbox, name: str) -> None:
    script, reference = HEAD + HELD[name], OTHERS.get(name, RIGHT)
    right = judged(judge, reference, script, reference)
    assert right.pass_ratio == 1
    assert not right.unguarded
    assert share(judged(judge, HUNTS, script, reference))[0] == 0
    honest = judged(judge, "def f(x): return 144", script, reference)
    assert honest.failure is not None
    assert honest.failure.kind != "FooledTest"


def test_a_reference_answers_other_words_when_the_test_asks(judge: Sandbox) -> None:
    """Not when it asks itself, and what it makes is the same."""
    reference = (
        "def f(n): return n if n < 2 else f(n - 1) + f(n - 2)\n"
        "class Box:\n    size = property(lambda self: 5)\n    def words(self): return ['five', {'of': (5, 5.5, True)}]\n"
    )
    script = (
        "from solution import f, Box\nassert f(5) == 7\nassert f(10) == 55\nassert Box().size == 7\n"
        "assert Box().words() == ['six', {'of': (7, 8.0, False)}]\n"
    )
    words = {"5": "7", "five": "six", "5.5": "8.0", "True": "False"}
    assert judged(judge, program(reference, RENAMES, words), script).failure is None


DATA = "from solution import f\nimport json\nD = json.loads('[[2, 4, 7], [3, 9, 1]]')\n"
LAX = {
    "in": "def test():\n    for x, *w in D: assert f(x) in w",
    "order": "def test():\n    for x, w, _ in D: assert f(x) <= w",
    "not": "def test():\n    for x, w, _ in D: assert not f(x) == w",
    "ne": "def test():\n    for x, w, _ in D: assert f(x) != w",
    "or": "def test():\n    for x, w, u in D: assert f(x) == w or f(x) == u",
    "any": "def test():\n    for x, *w in D: assert any(f(x) == u for u in w)",
    "count": "def test():\n    for x, *w in D: assert w.count(f(x)) == 1",
    "count2": "def test():\n    for x, w, u in D: assert f(x).count(w) == u",
    "item": "def test():\n    for x, w, u in D: assert f(x)[w] == u",
    "starts": "def test():\n    for x, w, u in D: assert f(x).startswith(w)",
    "name": "def test():\n    for x, *w in D:\n        ok = f(x) in w\n        assert ok",
    "set": "def test():\n    for x, *w in D: assert set(f(x)) & set(w)",
    "helper": "def close(a, b): return abs(a - b) < 2\ndef test():\n    for x, w, u in D: assert close(f(x), w)",
    "helper2": "def check(x, w): assert f(x) in w\ndef test():\n    for x, *w in D: check(x, w)",
    "ifs": "def test():\n    for x, w, u in D:\n        if f(x) != w and f(x) != u: raise AssertionError",
    "ifin": "def test():\n    for x, *w in D:\n        if f(x) not in w: raise AssertionError",
    "continue": "def test():\n    for x, w, u in D:\n        if f(x) == w: continue\n        assert f(x) == u",
    "assertIn": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def test(self):\n"
    "        for x, *w in D: self.assertIn(f(x), w)",
    "almost": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def test(self):\n"
    "        for x, w, u in D: self.assertAlmostEqual(f(x), w, delta=u)",
    "append": "def test():\n    got = []\n    for x, w, u in D: got.append(f(x))\n    assert got[0] in D[0]",
    "diff": "def test():\n    for x, w, u in D: assert abs(f(x) - w) == u",
    "zip": "def test():\n    for x, w, u in D:\n        for a, b in zip(f(x), [w, u]): assert a == b",
    "sum": "def test():\n    for x, w, u in D: assert sum(f(x)) + w == u",
    "dict": "def test():\n    for x, w, u in D: assert {4: 1}.get(f(x)) == w",
    "key": "def test():\n    for x, w, u in D: assert D[0][f(x)] == w",
    "raises": "import pytest\n"
    "def test():\n"
    "    for x, w, u in D:\n"
    "        try: f(x)\n"
    "        except ValueError as e: assert str(e) == w",
    "walrus": "def test():\n    for x, w, u in D: assert (y := f(x)) > 3 and y == w",
    "while": "def test():\n    for x, w, u in D:\n        while f(x) > w: break\n        assert f(x) == u",
    "max": "def test():\n    for x, w, u in D: assert max(f(x), w) == u",
    "mult": "def test():\n    for x, w, u in D: assert f(x) % w == u",
    "sub": "def test():\n    for x, w, u in D: assert f(x) - w == 0",
    "own eq": "class W:\n"
    "    def __init__(self, v): self.v = v\n"
    "    def __eq__(self, o): return o in self.v\n"
    "def test():\n"
    "    for x, *w in D: assert f(x) == W(w)",
    "lambda": "same = lambda a, b: a in b\ndef test():\n    for x, *w in D: assert same(f(x), w)",
    "match": "def test():\n"
    "    for x, w, u in D:\n"
    "        match f(x):\n"
    "            case 4 | 9: pass\n"
    "            case _: assert f(x) == w",
    "counted": "def test():\n    n = 0\n    for x, w, u in D: n += f(x) == w\n    assert n > 1",
    "errors": "def test():\n    bad = [x for x, w, u in D if f(x) not in (w, u)]\n    assert not bad",
    "stored": "def test():\n    for x, w, u in D:\n        f.mode = x\n        assert f() == w",
    "del": "def test():\n    for x, w, u in D:\n        d = dict.fromkeys([w, u])\n        del d[f(x)]",
    "index": "def test():\n    for x, w, u in D:\n        [w, u].index(f(x))",
    "key error": "def test():\n    for x, w, u in D:\n        {w: 1, u: 1}[f(x)]",
    "if": "def test():\n    for x, w, u in D:\n        if f(x): assert f(x) == w",
    "ternary": "def test():\n    for x, w, u in D: assert f(x) == w if f(x) else u",
    "approx": "import pytest\ndef test():\n    for x, w, u in D: assert f(x) == pytest.approx(w, abs=u)",
    "ANY": "from unittest import mock\ndef test():\n    for x, w, u in D: assert f(x) == (mock.ANY if u else w)",
    "case": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def ok(self, a, w): self.assertIn(a, w)\n"
    "    def test(self):\n"
    "        for x, *w in D: self.ok(f(x), w)",
    "filter": "def test():\n    for x, *w in D: assert len([u for u in w if u == f(x)]) == 1",
    "filter2": "def test():\n    for x, *w in D: assert [u for u in w if u == f(x)]",
    "fail": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def test(self):\n"
    "        for x, w, u in D: self.assertFalse(f(x) == w)",
    "one of": "def test():\n    for x, *w in D: assert sum(f(x) == u for u in w) == 1",
    "counted 3": "def test():\n    n = 0\n    for x, w, u in D: n += f(x) == w\n    assert n == len(D)",
    "listed": "def test():\n"
    "    for x, *w in D:\n"
    "        found = [f(x) == u for u in w]\n"
    "        assert sum(found) == 1",
    "far far": "def test():\n    for x, w, u in D: assert abs(f(x) - w) < 5",
    "far far2": "def test():\n    for x, w, u in D: assert abs(f(x) - w) < u",
    "far far3": "def test():\n    for x, w, u in D: assert abs(f(x) - w) > 1e-6",
    "lambda 2": "def test(): assert list(filter(lambda r: f(r[0]) in r, D)) == D",
    "mix": "def test():\n    for x, w, u in D: assert [y - w for y in f(x)] == [0, u]",
}
EXACT = {
    "eq": "def test():\n    for x, w, u in D: assert f(x) == w",
    "rev": "def test():\n    for x, w, u in D: assert w == f(x)",
    "sorted": "def test():\n    for x, w, u in D: assert sorted(f(x)) == sorted([w, u])",
    "got": "def test():\n    for x, w, u in D:\n        got = f(x)\n        assert got == w, f'{got} != {w}'",
    "if": "def test():\n    for x, w, u in D:\n        if f(x) != w: raise AssertionError(f(x))",
    "all": "def test(): assert all(f(x) == w for x, w, u in D)",
    "lists": "def test(): assert [f(x) for x, w, u in D] == [w for x, w, u in D]",
    "unit": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def test(self):\n"
    "        for x, w, u in D:\n"
    "            with self.subTest(x=x): self.assertEqual(f(x), w)",
    "helper": "def run(x): return f(x)\n"
    "def check(x, w): assert run(x) == w\n"
    "def test():\n"
    "    for x, w, u in D: check(x, w)",
    "near": "def test():\n    for x, w, u in D: assert abs(f(x) - w) < 1e-6",
    "near2": "import math\ndef test():\n    for x, w, u in D: assert math.isclose(f(x), w)",
    "near3": "import pytest\ndef test():\n    for x, w, u in D: assert f(x) == pytest.approx(w, abs=1e-4)",
    "near4": "import unittest\n"
    "class T(unittest.TestCase):\n"
    "    def test(self):\n"
    "        for x, w, u in D: self.assertAlmostEqual(f(x), w, places=4)",
    "near5": "def test():\n    for x, w, u in D:\n        if abs(f(x) - w) > 1e-6: raise AssertionError",
    "lambda": "def test(): assert list(map(lambda r: f(r[0]), D)) == [w for _, w, u in D]",
    "script": "for x, w, u in D: assert f(x) == w",
}


def _is_exact(text: str) -> bool:
    read = suite.read([DATA + text], "f", {"f"}, ["pytest"])
    others = [node for tree in read.trees for node in tree.body]
    scopes = [scope for _, scope in scopes_of(read)]
    return all(is_exact(scope, {"f", "run", "check"}) for scope in (*scopes, others))


@pytest.mark.parametrize("text", LAX.values(), ids=LAX)
def test_what_leaves_a_choice_is_not_exact(text: str) -> None:
    assert not _is_exact(text)


@pytest.mark.parametrize("text", EXACT.values(), ids=EXACT)
def test_what_compares_answers_with_one_value_is_exact(text: str) -> None:
    assert _is_exact(text)


# Right programs of which the answer is not the reference's; each with a reference.
CHOICES = {
    "in": ("def test():\n    for x, *w in D: assert f(x) in w",
           "def f(x): return {2: 4, 3: 9}[x]", "def f(x): return {2: 7, 3: 1}[x]"),
    "at most": ("def test():\n    for x, w, _ in D: assert f(x) <= w", "def f(x): return x * x", "def f(x): return 0"),
    "zip": (
        "def test():\n    for x, *w in D:\n        for a, b in zip(f(x), w): assert a == b",
        "def f(x): return {2: [4, 7], 3: [9, 1]}[x]", "def f(x): return []",
    ),
    "empty": ("def test():\n    for x, w, _ in D: assert [y for y in f(x) if y != w] == []",
              "def f(x): return [x * x]", "def f(x): return []"),
}  # fmt: skip


@pytest.mark.parametrize("name", CHOICES)
def test_right_programs_pass_where_a_test_leaves_a_choice(judge: Sandbox, name: str) -> None:
    script, reference, other = CHOICES[name]
    for program_ in (reference, other):
        assert judged(judge, program_, DATA + script, reference).pass_ratio == 1


# Inputs that are answers as well; the reference answers another one for what it does not know, and a wrong program gives it back.
READS = "def f(x):\n    x = %s\n    return x if x in ('info', 'debug') else 'info'"
BACK = "def f(x): return %s"
ECHOES = {
    "lines": (
        "for row in 'info info\\ndebug debug'.splitlines():\n        x, w = row.split()\n        ",
        "x",
        "x",
        "'loud'",
    ),
    "a stream": ("for w in json.loads('[\"info\"]'):\n        ", "io.StringIO(w)", "x.read()", "io.StringIO('loud')"),
    "a function": ("for w in json.loads('[\"info\"]'):\n        ", "lambda: w", "x()", "lambda: 'loud'"),
    "an iterator": ("for w in json.loads('[\"info\"]'):\n        ", "iter([w])", "next(x)", "iter(['loud'])"),
}


PATCHED = {
    "monkeypatch": "monkeypatch.setattr('builtins.input', lambda: w)",
    "mock": "with mock.patch('builtins.input', lambda: w): ",
    "stdin": "sys.stdin = io.StringIO(w)",
}


@pytest.mark.parametrize("name", PATCHED)
def test_a_program_that_gives_back_what_a_test_patched_loses_no_more(judge: Sandbox, name: str) -> None:
    line = PATCHED[name] + ("" if name == "mock" else "\n        ")
    script = "import io, json, sys\nfrom unittest import mock\nfrom solution import f\n"
    script += f"def test_known({'monkeypatch' * (name == 'monkeypatch')}):\n    for w in json.loads('[\"info\"]'):\n        {line}"
    script += (
        "assert f() == w\ndef test_other(monkeypatch):\n    monkeypatch.setattr('builtins.input', lambda: 'loud')\n"
    )
    script += "    assert f() == 'info'\n"
    reference = (READS % "input()").replace("f(x)", "f()")
    for draw in range(3):
        assert share(judged(judge, "def f(): return input()", f"{script}# {draw}", reference)) == (1, 2)


@pytest.mark.parametrize("name", ECHOES)
def test_a_program_that_gives_its_input_back_loses_no_more_than_in_plain_python(judge: Sandbox, name: str) -> None:
    loop, given, read, other = ECHOES[name]
    script = f"import io, json\nfrom solution import f\ndef test_known():\n    {loop}assert f({given}) == w\n"
    script += f"def test_other(): assert f({other}) == 'info'\n"
    for draw in range(3):
        assert share(judged(judge, BACK % read, f"{script}# {draw}", READS % read)) == (1, 2)
