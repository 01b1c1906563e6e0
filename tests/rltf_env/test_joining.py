"""Programs that begin with future imports, behind code that is given."""

from __future__ import annotations

import pytest

from rltf_env.core import CaseResult, Failure, Outcome, Verdict, line_starts
from rltf_env.joining import full_text, join

GIVEN = "import math\nfrom typing import List\n"
FUTURE = "from __future__ import annotations\n"


def runs(text: str) -> dict[str, object]:
    names: dict[str, object] = {}
    exec(compile(text, "joined", "exec", dont_inherit=True), names)
    return names


@pytest.mark.parametrize(
    "program",
    [
        FUTURE + "x = 1\n",
        "\n# a comment\n\n" + FUTURE + "x = 1\n",
        '"""What it does."""\n' + FUTURE + "x = 1\n",
        "r'''What\nit does.''' # so\n" + FUTURE + "x = 1\n",
        '"a docstring"; ' + FUTURE + "x = 1\n",
        "from __future__ import annotations, division as d; import os; x = 1\n",
        "from __future__ import division; from __future__ import annotations\nx = 1\n",
        "from __future__ import division\n# between\nfrom __future__ import annotations  # why\nx = 1",
        "from __future__ import (\n    annotations,  # a comment, with a comma (and more\n    division,\n)\nx = 1\n",
        "from __future__ import(annotations)\nx = 1\n",
        "from\\\n  __future__ import \\\n    annotations\r\nx = 1\r\n",
        "from __future__ import annotations;\nx = 1\n",
        "from __future__ import annotations\rx = 1\r",
    ],
)
@pytest.mark.parametrize(
    "prefix",
    [
        GIVEN,
        '"""Given."""\n' + GIVEN,
        "# Given.\n\n" + FUTURE + GIVEN,
        "def g(a):\n    '''Given.'''\n",
        "@staticmethod\ndef g(a):\n    return a\n",
        "import math\r\nfrom typing import List\r\n",
    ],
)
def test_future_imports_move_to_the_top_and_nothing_else_moves(prefix: str, program: str) -> None:
    joined = join(prefix, program)
    with pytest.raises(SyntaxError, match="must occur at the beginning"):
        runs(prefix + program)
    names = runs(joined.text + "\ndef late(a: unknown): pass\n")
    assert names["x"] == 1
    assert names["late"].__annotations__ == {"a": "unknown"}  # type: ignore[attr-defined]
    rest = program.rindex("x = 1")
    assert joined.text[rest - len(program) :] == program[rest:]
    plain = prefix + program
    for number, start in enumerate(line_starts(plain), 1):
        if number != joined.origin:
            there = [n for n, _ in enumerate(line_starts(joined.text), 1) if joined.line(n) == number]
            assert len(there) == 1
            begin = line_starts(joined.text)[there[0] - 1]
            if plain[start : start + 3] in ("x =", "imp", "def"):
                assert joined.text[begin : begin + 3] == plain[start : start + 3]


@pytest.mark.parametrize(
    ("prefix", "program"),
    [
        ("", FUTURE + "x = 1\n"),
        ("# only a comment\n", FUTURE),
        ('"""Only a docstring."""\n', FUTURE),
        (GIVEN, "import os\n" + FUTURE),
        (GIVEN, "x = 1\n"),
        (GIVEN, "    " + FUTURE),
        (GIVEN, "'''" + FUTURE + "'''\n"),
        (GIVEN, "'a' + 'b'\n" + FUTURE),
        (GIVEN, "# " + FUTURE),
        (GIVEN, "from __future__ import no_such_thing\n"),
        (GIVEN, "from __future__ import annotations no\n"),
        (GIVEN, "from __future__ import *\n"),
        (GIVEN, "from __future__ import ()\n"),
        (GIVEN, "from __future__x import annotations\n"),
        ("text = '''\n", FUTURE + "'''\n"),
        ("x = (\n", FUTURE + ")\n"),
        ("x = 1", FUTURE),
        ("x = ", FUTURE),
    ],
)
def test_everything_else_stays_as_it_is(prefix: str, program: str) -> None:
    assert join(prefix, program).text == prefix + program
    assert join(prefix, program).line(2) == 2


def test_code_that_ends_within_a_line_may_be_ended_by_the_program() -> None:
    assert runs(join("import math", "  # so\n" + FUTURE + "x = 1\n").text)["x"] == 1


def test_a_verdict_is_told_of_the_lines_as_they_were_written() -> None:
    program = "# first\n" + FUTURE + "def f(x):\n    return 1 / 0\n"
    joined = full_text(GIVEN, GIVEN + program)
    failures = [Failure("E", line=line) for line in (1, 2, 6, 7, None)]
    results = tuple(CaseResult(Outcome.RUNTIME_ERROR, failure) for failure in failures)
    verdict = joined.as_written(Verdict(results, frozenset({1, 2, 5, 7})))
    assert (GIVEN + program).splitlines()[5] == "    return 1 / 0"
    assert [result.failure.line for result in verdict.results if result.failure] == [4, 1, 5, 6, None]
    assert verdict.executed == {4, 1, 6}
    assert full_text(GIVEN, "x = 1\n").as_written(verdict) is verdict


def test_a_program_is_looked_at_in_no_time() -> None:
    for text in ("#\n" * 200_000, "(" * 200_000, " " * 200_000, "from __future__ import (" + "#" * 200_000):
        join(GIVEN, text + "__future__")
        join(GIVEN, "from __future__ import annotations" + text)
