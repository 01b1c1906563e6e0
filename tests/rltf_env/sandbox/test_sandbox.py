"""The judge: what it says of programs, and how it is asked."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Failure, FailureKind, Outcome, Problem, ScriptCase, StdinCase, Verdict
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.cage import clock as clocks
from rltf_env.sandbox.pool.pool import PoolSandbox
from rltf_env.sandbox.referee import failures

ADD = Problem("add", "", [CallCase((1, 2), 3), CallCase((5, 5), 10)], "add")


SQUARE = Problem("square", "", [StdinCase("3\n", "9\n"), StdinCase("4\n", "16\n")])


NO_WALLS = ("user", "pid", "net", "ipc", "uts", "root")


GOOD = "def add(a, b):\n    return a + b\n"


@pytest.fixture(scope="module", params=["forkserver", "subprocess"])
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    with sandbox.load(request.param, workers=2, case_seconds=0.5, wall_seconds=1.5, memory_mb=300) as opened:
        yield opened


@pytest.fixture(scope="module")
def fork() -> Iterator[PoolSandbox]:
    with sandbox.load("forkserver", workers=2, case_seconds=0.5) as opened:
        yield opened


def script(text: str, setup: str = "", entry_point: str | None = None, **more: object) -> Problem:
    return Problem("script", "", [ScriptCase(text, setup)], entry_point, **more)  # type: ignore[arg-type]


def failure(verdict: Verdict) -> Failure:
    assert verdict.failure is not None
    return verdict.failure


# ------------------------------------------------------------------------------------------------------ kinds of case


def test_each_case_has_its_own_result(judge: PoolSandbox) -> None:
    verdict = judge.run("def add(a, b):\n    return 3\n", ADD)
    assert [r.outcome for r in verdict.results] == [Outcome.PASSED, Outcome.WRONG_ANSWER]
    assert verdict.pass_ratio == 0.5
    assert failure(verdict).kind == FailureKind.WRONG_ANSWER


def test_printed_text_is_kept_with_the_result(judge: PoolSandbox) -> None:
    verdict = judge.run("print(int(input()) ** 2)", SQUARE)
    assert [r.stdout for r in verdict.results] == ["9\n", "16\n"]
    assert all(r.seconds > 0 for r in verdict.results)


def test_keyword_arguments_and_methods(judge: PoolSandbox) -> None:
    problem = Problem("m", "", [CallCase((1,), [1, {"b": (2, 3)}], {"b": (2, 3)})], "Solution.f")
    source = "class Solution:\n    def f(self, a, *, b):\n        return [a, {'b': b}]\n"
    assert judge.run(source, problem).outcome is Outcome.PASSED
    plain = "def f(a, *, b):\n    return [a, {'b': b}]\n"
    assert judge.run(plain, problem).outcome is Outcome.PASSED


def test_checker_decides_where_several_answers_are_right(judge: PoolSandbox) -> None:
    checker = "def check(given, expected, got):\n    (n,), _ = given\n    return got[0] * got[1] == n"
    problem = Problem("factor", "", [CallCase((12,), None)], "factor", meta={"checker": checker})
    assert judge.run("def factor(n): return [3, 4]", problem).outcome is Outcome.PASSED
    assert judge.run("def factor(n): return [3, 5]", problem).outcome is Outcome.WRONG_ANSWER


def test_any_order_is_for_problems_that_allow_it(judge: PoolSandbox) -> None:
    source = "def f(): return [2, 1]"
    loose = Problem("o", "", [CallCase((), [1, 2])], "f", meta={"order": "any"})
    strict = Problem("o", "", [CallCase((), [1, 2])], "f")
    assert judge.run(source, loose).outcome is Outcome.PASSED
    assert judge.run(source, strict).outcome is Outcome.WRONG_ANSWER


VALUES = [
    0, -1, 2**70, -(7**9000), 0.1, float("inf"), True, None, "", "a\n\"\\\u2028é\udc80", b"\x00\xff", bytearray(b"x"), (), (1,),
    [], [1, [2, (3,)]], {}, {1: "a", "1": "b", (1, 2): None}, {1, 2}, frozenset({3}), 1 + 2j, range(3, 9, 2), list(range(1000)),
    [2**5000] * 2, ["x"] * 100, [None, True, 1.5] * 50,
]  # fmt: skip


def test_plain_values_cross_and_come_back(judge: PoolSandbox) -> None:
    cases = [CallCase((value,), value) for value in VALUES]
    verdict = judge.run("def f(x): return x", Problem("echo", "", cases, "f"))
    wrong = [value for value, result in zip(VALUES, verdict.results, strict=True) if result.failure]
    assert not wrong


def test_a_value_that_is_not_plain_is_named(judge: PoolSandbox) -> None:
    problem = Problem("f", "", [CallCase((), 3)], "f")
    verdict = judge.run("class A: pass\ndef f(): return A()", problem)
    assert verdict.outcome is Outcome.WRONG_ANSWER
    assert failure(verdict).kind == FailureKind.UNREPRESENTABLE


NODES = "class Node:\n    def __init__(self, value):\n        self.value, self.left, self.right = value, None, None\n"


SCRIPTS = [
    ("assert f(2) == 4", "def f(x): return x * x"),
    ("assert f([3, 1]) == [1, 3], 'sorted'", "def f(x): return sorted(x)"),
    ("x = [3, 1]\nf(x)\nassert x == [1, 3]", "def f(x): x.sort()"),
    ("x = {'a': [1]}\nf(x)\nassert x == {'a': [1, 2]}", "def f(x): x['a'].append(2)"),
    ("for i in range(50):\n    assert f(i) == i + 1", "def f(x): return x + 1"),
    ("assert f(f(f(1))) == 4", "def f(x): return x + 1"),
    ("n = f(3)\nwhile n:\n    n = f(n)\nassert n == 0", "def f(x): return x - 1"),
    ("try:\n    f(0)\n    assert False\nexcept ZeroDivisionError:\n    pass", "def f(x): return 1 // x"),
    ("try:\n    f(0)\nexcept ValueError as e:\n    assert 'odd' in str(e)", "class E(ValueError): pass\ndef f(x): raise E('odd')"),
    ("import random\nx = random.random()\nassert f(x) == x", "def f(x): return x"),
    ("assert math.isclose(f(2), 1.414, abs_tol=1e-2)", "def f(x): return x ** 0.5"),
    ("assert LIMIT == 3 and f() == LIMIT", "LIMIT = 3\ndef f(): return LIMIT"),
    ("assert f(int, 3) and not f(str, 3)", "def f(kind, x): return isinstance(x, kind)"),
    ("assert f('abc') == Counter('abc')", "from collections import Counter\ndef f(x): return Counter(x)"),
    ("a = f(1)\nassert a.value == 1 and a.left is None", NODES + "f = Node"),
    ("a = Node(1)\na.left = Node(2)\na.left.value = 5\nassert f(a) == 6", NODES + "def f(n): return n.value + n.left.value"),
    ("assert isinstance(f(1), Node)", NODES + "def f(x): return Node(x)"),
    ("s = f()\ns.push(1)\ns.push(2)\nassert s.pop() == 2 and len(s) == 1 and s[0] == 1", "class f(list):\n  def push(self, x): self.append(x)\n  __eq__ = None"),
    ("def check(candidate):\n    assert candidate(1) == 2\ncheck(f)", "def f(x): return x + 1"),
]  # fmt: skip


# ------------------------------------------------------------------------------------------------------------ scripts


@pytest.mark.parametrize(("text", "source"), SCRIPTS, ids=range(len(SCRIPTS)))
def test_scripts_mean_what_they_mean_in_one_process(fork: PoolSandbox, text: str, source: str) -> None:
    setup = "import math\nfrom collections import Counter" if "math" in text or "Counter" in text else ""
    verdict = fork.run(source, script(text, setup, "f"))
    assert verdict.outcome is Outcome.PASSED, verdict.failure


def test_a_script_that_fails_is_a_wrong_answer(judge: PoolSandbox) -> None:
    verdict = judge.run("def f(x): return x", script("assert f(1) == 2, 'too small'", entry_point="f"))
    assert verdict.outcome is Outcome.WRONG_ANSWER
    assert failure(verdict).message == "too small"


def test_an_exception_in_a_script_s_call_has_its_line(judge: PoolSandbox) -> None:
    source = "def g(x):\n    return 1 // x\ndef f(x):\n    return g(x)\n"
    verdict = judge.run(source, script("assert f(1) == 1\nassert f(0) == 1", entry_point="f"))
    assert verdict.outcome is Outcome.RUNTIME_ERROR
    assert (failure(verdict).kind, failure(verdict).line) == ("ZeroDivisionError", 2)


def test_the_first_failed_assertion_counts_even_if_a_later_call_never_ends(judge: PoolSandbox) -> None:
    source = "def f(x):\n    while x == 2: pass\n    return 0"
    verdict = judge.run(source, script("assert f(1) == 1\nassert f(2) == 2", entry_point="f"))
    assert failure(verdict).kind == FailureKind.WRONG_ANSWER
    stuck = judge.run(source, script("assert f(1) == 0\nassert f(2) == 2", entry_point="f"))
    assert (failure(stuck).kind, failure(stuck).line) == (FailureKind.TIMEOUT, 2)


def test_a_builtin_s_name_is_the_program_s_only_if_the_task_is_to_define_it(fork: PoolSandbox) -> None:
    mine = "def sum(a, b): return a * b\ndef f(x): return 1\ndef sorted(x): return [7]"
    assert fork.run(mine, script("assert sum(3, 4) == 12", entry_point="sum")).outcome is Outcome.PASSED
    cheat = script("assert sorted(f(1)) == [7]", entry_point="f")
    assert fork.run(mine, cheat).outcome is Outcome.WRONG_ANSWER


def test_helpers_that_the_problem_gives_are_its_own(fork: PoolSandbox) -> None:
    given = "def poly(a, x):\n    return sum(c * x ** i for i, c in enumerate(a))\n\ndef root(a):\n    '''A root.'''\n"
    problem = script("a = [-4, 2]\nassert abs(poly(a, root(a))) < 1e-6", entry_point="root", prefix=given)
    assert fork.run(given + "    return -a[0] / a[1]\n", problem).outcome is Outcome.PASSED
    cheat = given + "    return 0\ndef poly(a, x): return 0\n"
    assert fork.run(cheat, problem).outcome is Outcome.WRONG_ANSWER


def test_a_script_that_hands_over_code_of_its_own_runs_together_or_is_refused(fork: PoolSandbox) -> None:
    problem = script("assert f(lambda x: x + 1) == 2", entry_point="f")
    assert fork.run("def f(g): return g(1)", problem).way == "together"
    with (
        sandbox.load("forkserver", workers=1, require_apart=True) as strict,
        pytest.raises(InvalidProblem, match="require_apart"),
    ):
        strict.run("def f(g): return g(1)", problem)


def test_comparing_something_of_the_program_s_own_is_not_left_to_it(fork: PoolSandbox) -> None:
    source = "class A:\n    def __eq__(self, other): return True\ndef f(): return A()\ndef g(): return A"
    for text in ("assert f() == 3", "assert 3 == f()", "assert f() in (1, 2)", "assert f() > 1"):
        verdict = fork.run(source, script(text, entry_point="f"))
        assert failure(verdict).kind == FailureKind.UNREPRESENTABLE, text
    together = fork.run("def f(): pass\n" + source, script("from solution import f\nassert f() == 3", entry_point="f"))
    assert failure(together).kind == FailureKind.FOOLED_TEST


def test_values_that_make_the_test_run_on_and_on_are_a_timeout() -> None:
    with sandbox.load("forkserver", workers=1, check_seconds=0.3) as opened:
        verdict = opened.run("def f(): return 10 ** 12", script("for i in range(f()): pass", entry_point="f"))
        assert (failure(verdict).kind, failure(verdict).detail) == (FailureKind.TIMEOUT, "check")
        deaf = opened.run("def f(): return 10 ** 11", script("sum(range(f()))", entry_point="f"))
        assert (failure(deaf).kind, failure(deaf).detail) == (FailureKind.TIMEOUT, "check")
        assert opened.run(GOOD, ADD).outcome is Outcome.PASSED


LINES = [
    ("x = (\n", "SyntaxError", 1, ""),
    ("x = 1\ny = '''abc\n\n", "SyntaxError", 2, "triple_quote"),
    ("x = 1\ny = f\"\"\"{x}\n", "SyntaxError", 2, "triple_quote"),
    ("x = 1\ny = rb'''\\'''\n", "SyntaxError", 2, "triple_quote"),
    ("x = 'abc\ny = '''z'''\n", "SyntaxError", 1, ""),
    ("def f():\n    '''doc'''\n  x = 1\n", "IndentationError", 3, ""),
    ("\ufeffx = '''\n", "SyntaxError", 1, "triple_quote"),
]  # fmt: skip


# --------------------------------------------------------------------------------------------------- lines and details


@pytest.mark.parametrize(("source", "kind", "line", "detail"), LINES)
def test_syntax_errors_have_line_and_cause(fork: PoolSandbox, source: str, kind: str, line: int, detail: str) -> None:
    verdict = fork.run(source, SQUARE)
    assert verdict.outcome is Outcome.SYNTAX_ERROR
    assert len(verdict.results) == 2
    found = failure(verdict)
    assert (found.kind, found.line, found.detail) == (kind, line, detail)
    assert found.is_a("SyntaxError")


def test_bases_are_the_built_in_ancestors(judge: PoolSandbox) -> None:
    found = failure(judge.run("class A(KeyError): pass\nclass B(A): pass\nraise B", SQUARE))
    assert found.kind == "B"
    assert found.bases == ("KeyError", "LookupError", "Exception", "BaseException")


def test_a_program_cannot_borrow_the_name_of_a_verdict_or_of_a_builtin(judge: PoolSandbox) -> None:
    for name in ("Timeout", "MemoryLimit", "SyntaxError", "Passed"):
        found = failure(judge.run(f"class {name}(ArithmeticError): pass\nraise {name}", SQUARE))
        assert found.kind == "ArithmeticError"


@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_executed_lines_are_recorded_when_asked(backend: str) -> None:
    source = (
        "def add(a, b):\n    if a == 1:\n        return 3\n    c = 10\n    if b == 7:\n        c = 0\n    return c\n"
    )
    with sandbox.load(backend, workers=1, trace=True, case_seconds=0.5) as opened:
        verdict = opened.run(source, ADD)
        assert verdict.outcome is Outcome.PASSED
        assert verdict.executed == {1, 2, 3, 4, 5, 7}
        stuck = opened.run("x = 1\nif x:\n    while x:\n        x += 0\nprint(x)\n", SQUARE)
        assert stuck.executed == {1, 2, 3, 4}
        assert opened.run("x = (", SQUARE).executed == frozenset()
        threaded = "import threading\ndef f():\n    print(9)\nt = threading.Thread(target=f)\nt.start()\n"
        assert 3 in (opened.run(threaded, SQUARE).executed or ())


def test_lines_are_not_recorded_unless_asked(fork: PoolSandbox) -> None:
    assert fork.run(GOOD, ADD).executed is None


# ----------------------------------------------------------------------------------------------------- what is not believed


def test_what_a_program_says_of_itself_is_short_and_fit_for_a_terminal() -> None:
    kind, message, line, _, bases = failures.raised(
        {
            "e": {
                "kind": "K" * 9999,
                "own": 1,
                "line": 10**50,
                "bases": ["OSError", "int", 3, "eval"],
                "message": "\x1b[2J\udc80é\n" * 999,
            }
        }
    )
    assert (kind, line, bases) == ("OSError", None, ["OSError"])
    assert message.startswith("\\x1b[2J\\udc80é\n")
    message.encode()
    assert len(message) < 10_000
    assert failures.raised({"x": [1]})[3] == "1"


def test_no_more_results_are_read_than_were_asked_for() -> None:
    data = b'{"ok": 1}\n' + b'{"v": 1}\n' * 100
    assert failures.results_of(data, 3) == [{"ok": 1}, {"v": 1}, {"v": 1}]
    assert failures.results_of(b'{"ok": 1}\n{"v": [' + b"[" * 100_000 + b"\n", 3) == [{"ok": 1}]
    assert failures.results_of(b"[1]\n{}\n", 3) == []


def test_values_that_are_slow_to_read_cost_one_limit_not_one_for_each_case() -> None:
    keys = "'[%d, 0]' % (i * (2 ** 61 - 1)) for i in range(60000)"
    source = f"import os\ndef f(x):\n    os.write(3, ('{{\"v\": {{\"d\": [' + ', '.join({keys}) + ']}}}}\\n').encode())\n    os._exit(0)"
    problem = Problem("f", "", [CallCase((i,), i) for i in range(10)], "f")
    with sandbox.load("forkserver", workers=1, check_seconds=0.3) as opened:
        verdict = opened.run(source, problem)
    assert [r.failure and r.failure.kind for r in verdict.results] == [FailureKind.TIMEOUT, *[FailureKind.NOT_RUN] * 9]


IN_TURN = [
    "n = int(input())\nprint(n * n)",
    "import sys\nsys.setrecursionlimit(77 + 900)\ndef f(n): return n * n\nprint(f(int(sys.stdin.readline())))",
    "import random\nx = random.random()\nprint(int(input()) ** 2 if x == random.Random(0).random() else 0)",
    "import sys\nsys.stdin = iter(sys.stdin.read().split())\nprint(int(next(sys.stdin)) ** 2)",
    "import sys\nprint(int(input()) ** 2)\nsys.stdout.close()",
    "import sys\nsys.stdout.write(str(int(input()) ** 2))\nsys.exit()",
    "import sys\nsys.path.append('x')\nprint(int(input()) ** 2 if sys.path.count('x') == 1 else 0)",
    "print(int(input()) ** 2)\nexit(0)",
    "n = int(input())\nprint(n * n if n == 3 else 1 // (n - 4))",
    "n = int(input())\nprint(n * n)\nraise SystemExit(n - 3)",
    "try:\n    seen\nexcept NameError:\n    seen = 1\n    print(int(input()) ** 2)",
    "import math\nn = int(input())\nprint(math.prod([n, n]) if n == 3 else [][n])",
    "n = int(input())\nwhile n == 4: pass\nprint(n * n)",
    "n = int(input())\nx = bytearray(10 ** 12 if n == 4 else 1)\nprint(n * n)",
    "n = int(input())\nprint('x' * (20_000_000 if n == 4 else 0) + str(n * n))",
    "from dataclasses import dataclass\n@dataclass\nclass A:\n    n: int\nprint(A(int(input())).n ** 2)",
    "import os\nprint(int(input()) ** 2)",
    "import builtins\nbuiltins.n = getattr(builtins, 'n', 0) + 1\nprint(int(input()) ** 2 if n == 1 else 0)",
    "def f(n, seen=[]):\n    seen.append(n)\n    return n * n if len(seen) == 1 else 0\nprint(f(int(input())))",
    "x = (",
]


# ------------------------------------------------------------------------------------------------------- pure programs


def test_cases_that_share_a_process_are_judged_as_if_they_did_not() -> None:
    options = {"workers": 2, "case_seconds": 0.4, "memory_mb": 200}
    with (
        sandbox.load("forkserver", **options) as together,
        sandbox.load("forkserver", **options, isolate=True) as apart,
    ):
        pairs = [(source, SQUARE) for source in IN_TURN]
        for source, one, other in zip(IN_TURN, together.map(pairs), apart.map(pairs), strict=True):
            assert one.same(other), f"{source}: {one} {other}"
            assert [r.stdout for r in one.results] == [r.stdout for r in other.results]


def test_a_long_row_of_cases_goes_on_apart_when_time_is_used_up() -> None:
    problem = Problem("row", "", [StdinCase(f"{n}\n", f"{n}\n") for n in range(12)])
    source = "n = int(input())\nfor i in range(1_000_000): pass\nprint(n)"
    with sandbox.load("forkserver", workers=1, case_seconds=0.4) as opened:
        verdict = opened.run(source, problem)
    assert verdict.outcome is Outcome.PASSED
    assert all(0.001 < r.seconds < 0.3 for r in verdict.results)


# -------------------------------------------------------------------------------------------------------------- limits


def test_a_near_miss_is_run_again_alone_and_then_named() -> None:
    spin = "import time\nend = {}\nwhile time.process_time() < end: pass\nprint(int(input()) ** 2)"
    with sandbox.load("forkserver", workers=2, case_seconds=0.4) as opened:
        late = opened.run(spin.format(0.44), SQUARE)
        assert (failure(late).kind, failure(late).detail) == (FailureKind.TIMEOUT, "cpu")
        assert opened.run(spin.format(0.3), SQUARE).outcome is Outcome.PASSED


CLOCKS = [  # (seconds since the start, computed, waited for a processor, threads' states) as they are seen; idle at the end
    ("sleeps", [(0.1, 0.0, 0.0, "S"), (0.5, 0.0, 0.0, "S")], 0.5),
    ("computes", [(0.1, 0.1, 0.0, "R"), (0.5, 0.5, 0.0, "R")], 0.0),
    ("gets no processor, and the kernel does not say so until it does", [(5.0, 0.0, 0.0, "R"), (9.0, 0.1, 8.9, "R")], 0.0),
    ("waited, then slept", [(2.0, 0.1, 1.4, "S")], 0.5),
    ("one thread sleeps, the other is ready to run", [(1.0, 0.2, 0.0, "SR")], 0.0),
    ("threads that waited side by side", [(1.0, 0.1, 3.0, "SS")], 0.0),
    ("a thread that waited has ended", [(1.0, 0.1, 0.9, "SS"), (2.0, 0.1, 0.2, "S")], 1.0),
    ("is stopped", [(0.4, 0.1, 0.0, "T")], 0.3),
    ("is awake at every look, and sleeps between", [(0.1, 0.01, 0.0, "R"), (0.2, 0.02, 0.0, "R"), (0.3, 0.03, 0.0, "R")], 0.17),
    ("was awake at a look, and slept before", [(0.1, 0.01, 0.0, "R"), (0.2, 0.02, 0.0, "S")], 0.18),
    ("runs a little between waits", [(0.1, 0.01, 0.0, "R"), (0.2, 0.02, 0.08, "R"), (0.3, 0.03, 0.27, "S")], 0.0),
    ("another thread runs", [(0.1, 0.05, 0.0, "R"), (0.3, 0.06, 0.0, "SR", True), (0.5, 0.07, 0.4, "SS")], 0.03),
    ("the kernel says nothing of waits", [(0.1, 0.01, None, "R"), (0.2, 0.02, None, "R"), (0.3, 0.03, None, "S")], 0.09),
]  # fmt: skip


@pytest.mark.parametrize(("what", "seen", "idle"), CLOCKS, ids=[what for what, _, _ in CLOCKS])
def test_time_that_a_program_waits_for_a_processor_is_not_its_own(what: str, seen: list, idle: float) -> None:
    clock = clocks.Clock(1, "1")
    for now in seen:
        clock.note(*now)
    assert clock.idle == pytest.approx(idle)
    assert clock.cpu == seen[-1][1]


@pytest.mark.parametrize(
    ("backend", "without"),
    [("forkserver", ()), ("forkserver", ("root",)), ("forkserver", NO_WALLS), ("subprocess", ())],
)
def test_a_program_s_processes_share_its_memory(backend: str, without: tuple[str, ...]) -> None:
    source = (
        "import os, time\ndef add(a, b):\n    for _ in range(6):\n        if not os.fork():\n"
        "            if os.fork():\n                os._exit(0)\n            x = b'x' * (100 << 20)\n            time.sleep(10)\n"
        "    time.sleep(1)\n    return a + b"
    )
    with sandbox.load(backend, workers=1, memory_mb=120, case_seconds=2, without=without) as opened:
        verdict = opened.run(source, Problem("add", "", ADD.cases[:1], "add"))
    assert failure(verdict).kind == FailureKind.MEMORY_LIMIT


def test_lines_that_a_program_says_have_run_are_lines_that_it_has() -> None:
    source = (
        "import os\nfor fd in range(4, 30):\n    try:\n        os.ftruncate(fd, 1 << 18)\n        os.pwrite(fd, b'\\1' * (1 << 18), 0)\n"
        "    except OSError:\n        pass\ndef add(a, b):\n    return a + b\nif 0:\n    x = 1\n"
    )
    for backend in ("forkserver", "subprocess"):
        with sandbox.load(backend, workers=1, trace=True) as opened:
            verdict = opened.run(source, ADD)
            assert verdict.outcome is Outcome.PASSED
            assert verdict.executed is not None
            assert verdict.executed <= set(range(1, 11)), "the last did not run, and where would it be said to have?"
            assert opened.run("x = 1\r\ny = 2\rdef add(a, b):\r\n    return a + b", ADD).executed == {1, 2, 3, 4}


def test_a_program_s_cases_share_its_time() -> None:
    source = "import time\nwhile time.process_time() < 0.3: pass\nprint(int(input()) ** 2)"
    problem = Problem("many", "", [StdinCase(f"{i}\n", f"{i * i}\n") for i in range(6)])
    with sandbox.load("forkserver", workers=1, case_seconds=0.5, program_seconds=0.8) as opened:
        kinds = [r.failure and r.failure.kind for r in opened.run(source, problem).results]
    assert kinds[:2] == [None, None]
    assert kinds[-1] == FailureKind.NOT_RUN


def test_output_is_capped_where_it_is_kept_not_where_it_is_compared() -> None:
    problem = Problem("long", "", [StdinCase("", "x" * 5000)])
    with sandbox.load("forkserver", workers=1, kept_output=10) as opened:
        verdict = opened.run("print('x' * 5000)", problem)
    assert verdict.outcome is Outcome.PASSED
    assert verdict.results[0].stdout == "x" * 10
