"""Tests that share what they hand to the program: what is false in one of them is another input of the next, and no expectation."""

from __future__ import annotations

import json
import marshal
import unittest
from typing import Any

from rltf_env.sandbox.referee.suite import read
from rltf_env.sandbox.referee.together import Together

DRAWS = 12
OPTIONS = {"packages": [], "case_seconds": 1.0, "wall_seconds": 5.0, "program_seconds": 9.0, "kept_output": 100}
REFERENCE = """
class Ledger:
    def __init__(self): self.amounts = {}
    def add(self, name, amount): self.amounts[name] = amount
    def rows(self): return self.amounts.items()
    def highest(self): return max(self.amounts.values())
    def lowest(self): return min(self.amounts.values())
"""
TEST = """
import unittest
class TestLedger(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.rows = {"rent": 1200, "salary": 3000}
    def setUp(self):
        self.ledger = Ledger()
        for name, amount in self.rows.items():
            self.ledger.add(name, amount)
    def test_rows(self):
        self.assertEqual(dict(self.ledger.rows()), self.rows)
    def test_highest(self):
        self.assertEqual(self.ledger.highest(), 3000)
    def test_lowest(self):
        self.assertEqual(self.ledger.lowest(), 1200)
"""


def run(source: str, request: bytes, count: int, isolate: bool) -> tuple[Any, list[Any], Any]:
    """What a cage says of the reference, and of no other program."""
    ((_, job),) = marshal.loads(request)
    line = {"missing": [], "results": _results(job["codes"]) if source == REFERENCE else []}
    return (
        None,
        [({"status": 0, "seconds": 0.0, "wall": 0.0, "end": ""}, b"", f'{{"ok": 1}}\n{json.dumps(line)}\n'.encode())],
        None,
    )


def _results(codes: list[bytes]) -> list[dict[str, str]]:
    namespace: dict[str, Any] = {"__name__": "test_solution"}
    exec(REFERENCE, namespace)
    for code in map(marshal.loads, codes):
        exec(code, namespace)
    kind, rows = namespace["TestLedger"], []
    for name in unittest.defaultTestLoader.getTestCaseNames(kind):
        result = unittest.TestResult()
        unittest.TestSuite([kind(name)]).run(result)
        rows.append({"id": f"TestLedger.{name}", "status": "passed" if result.wasSuccessful() else "failed"})
    return rows


def test_a_copy_guards_those_tests_alone_of_which_something_is_false_there() -> None:
    """A wrong program that rounds finds the same highest amount in both, and fools nobody."""
    guarded: set[str] = set()
    for _ in range(DRAWS):
        together = Together(read([TEST], "Ledger", {"Ledger"}, []), "Ledger", [REFERENCE], OPTIONS)
        together.prove(run)
        assert together.guards is not None
        copies = [copy for pair in together.guards.pairs for copy in pair]
        assert all(copy.tests <= copy.falsehoods.keys() for copy in copies)
        guarded |= {name for copy in copies for name in copy.tests}
    assert guarded >= {"TestLedger.test_highest", "TestLedger.test_lowest"}
