"""Names of what asserts something in a test: functions and methods that compare, expect an exception, or ask for an order."""

from __future__ import annotations

import ast

ANY_ERROR = frozenset(("Exception", "BaseException"))
RAISES = frozenset("raises assertRaises assertRaisesRegex assertRaisesRegexp assertWarns assertWarnsRegex".split())
ORDER = frozenset("assertGreater assertLessEqual assertLess assertGreaterEqual assertIsNone assertIsNotNone "
         "assertIsInstance assertNotIsInstance assertNotEqual assertNotIn assertIs assertIsNot assertRegex "
         "assertNotRegex".split())  # fmt: skip
EQUAL = frozenset("assertEqual assertEquals assertListEqual assertDictEqual assertTupleEqual assertSetEqual assertCountEqual "
         "assertMultiLineEqual assertSequenceEqual".split())  # fmt: skip
ARRAYS = frozenset("assert_array_equal assert_equal array_equal".split())
TWO = frozenset((*EQUAL, "assertAlmostEqual", "assertAlmostEquals"))


def name_of(node: ast.AST) -> str:
    """The last name of what is called or looked up: `f` of `f` and of `a.f`."""
    return node.attr if isinstance(node, ast.Attribute) else node.id if isinstance(node, ast.Name) else ""


def dotted(node: ast.AST) -> str:
    """`a.b.c` of names and their attributes. What else has an attribute has no name: `.c` of `f().c`; all else is empty."""
    parts: list[str] = []
    while isinstance(node, ast.Attribute):
        parts.append(node.attr)
        node = node.value
    return ".".join([node.id if isinstance(node, ast.Name) else "", *reversed(parts)])


def counts(owner: ast.AST) -> bool:
    """True for an assertion that only counts what the values which it compares are made of."""
    return "CountEqual" in name_of(getattr(owner, "func", owner))


def arguments_of(call: ast.Call) -> list[ast.expr]:
    """All that a call hands over."""
    return [*call.args, *(keyword.value for keyword in call.keywords)]
