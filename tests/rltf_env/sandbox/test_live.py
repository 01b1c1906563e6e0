"""Programs that are asked one thing after another: what they do with the pipes, the time and the referee's patience."""

from __future__ import annotations

import time
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import FailureKind, Outcome, Problem, ScriptCase
from rltf_env.sandbox.pool.pool import PoolSandbox

APART = {"workers": 1, "cache": 0, "require_apart": True}
LIMITS = {"case_seconds": 0.3, "wall_seconds": 0.6, "program_seconds": 2.0}
STEPS = Problem("steps", "", [ScriptCase("n = 100\nwhile n > 0:\n    n = f(n)\nassert n == 0\n")], "f")
RIGHT = "def f(n):\n    return n - 1\n"


@pytest.fixture(scope="module", params=["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
def judge(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    with sandbox.load(request.param, memory_mb=300, output_bytes=1 << 20, **APART, **LIMITS) as opened:
        yield opened


@pytest.fixture(scope="module", params=["forkserver", pytest.param("subprocess", marks=pytest.mark.slow)])
def patient(request: pytest.FixtureRequest) -> Iterator[PoolSandbox]:
    """A judge whose limits no honest program comes near, on a busy machine either."""
    with sandbox.load(request.param, memory_mb=300, output_bytes=1 << 20, case_seconds=5.0, **APART) as opened:
        yield opened


def kind(judge: PoolSandbox, source: str, problem: Problem = STEPS) -> str | None:
    failure = judge.run(source, problem).failure
    return failure.kind if failure else None


# ------------------------------------------------------------------------------------------------- what it is good for

DEPENDENT = {
    "iterated": ("n = 300\nwhile n > 0:\n    n = f(n)\nassert n == 0", RIGHT, "def f(n):\n    return n - 7\n"),
    "state machine": (
        "state, seen = 'a', []\nfor i in range(400):\n    state = f(state, i)\n    seen.append(state)\nassert seen[-1] == 'a'\n"
        "assert seen.count('a') == 200",
        "def f(state, i):\n    return 'b' if state == 'a' else 'a'\n",
        "def f(state, i):\n    return state\n",
    ),
    "search": (
        "low, high = 0, 10 ** 60\nwhile high - low > 1:\n    middle = (low + high) // 2\n"
        "    low, high = (middle, high) if f(middle) else (low, middle)\nassert low == 3 ** 100",
        "def f(n):\n    return n <= 3 ** 100\n",
        "def f(n):\n    return n < 3 ** 100\n",
    ),
    "names of the moment": (
        "import tempfile, time, uuid\nfor _ in range(3):\n    for name in (str(uuid.uuid4()), tempfile.mktemp(), time.time_ns()):\n"
        "        assert f(name) == name",
        "def f(name):\n    return name\n",
        "def f(name):\n    return str(name)\n",
    ),
    "6,000 calls": (
        "for i in range(6000):\n    assert f(i) == i * i",
        "def f(i):\n    return i * i\n",
        "def f(i):\n    return i * i if i != 5999 else 0\n",
    ),
    "more calls than are guessed": (
        "for i in range(21_000):\n    assert f(i) == -i",
        "def f(i):\n    return -i\n",
        "def f(i):\n    return -i if i != 20_999 else 0\n",
    ),
}


@pytest.mark.parametrize("what", DEPENDENT)
def test_calls_that_depend_on_each_other_are_made_one_after_another(patient: PoolSandbox, what: str) -> None:
    script, right, wrong = DEPENDENT[what]
    problem = Problem(what, "", [ScriptCase(script)], "f", solutions=[right])
    assert [patient.run(source, problem).outcome for source in (right, wrong, right)] == [
        Outcome.PASSED,
        Outcome.WRONG_ANSWER,
        Outcome.PASSED,
    ]


MESSAGES = [
    'assert f(2) == 3, f"got {f(2)}"',
    'assert f(2) == 3, "got " + str(f(2))',
    "def check(c):\n    assert c(2) == 3, 'first: ' + str(c(2))\n    assert c(3) == 4, 'second: ' + str(c(3))\ncheck(f)",
    "if f(2) != 3:\n    raise AssertionError(f'{f(2)} and {f(3)}')",
    "try:\n    assert f(2) == 3\nfinally:\n    f(9)",
    "try:\n    assert f(2) == 3\nexcept AssertionError:\n    assert f(3) == 4",
    "for i in range(5):\n    if f(i) != i + 1:\n        break\nelse:\n    f(8)\nassert f(i) == i + 1",
    "assert [n for n in range(9) if f(n) > 4 and f(n + 1) > 5] == [4, 5, 6, 7, 8]",
    "assert f(2) == 3 or f(1) == 7",
    "assert 3 in map(f, range(9)) and max(range(9), key=f) == 8 and sorted([3, 1], key=f) == [1, 3] and f(0) == 1",
]


@pytest.mark.parametrize("script", MESSAGES)
def test_what_a_script_does_only_where_something_fails_is_done(judge: PoolSandbox, script: str) -> None:
    right = "def f(n):\n    return n + 1\n"
    problem = Problem("message", "", [ScriptCase(script)], "f", solutions=[right])
    assert judge.run(right, problem).outcome is Outcome.PASSED
    assert kind(judge, "def f(n):\n    return n + 3\n", problem) == FailureKind.WRONG_ANSWER


def test_an_exception_of_the_program_s_in_a_message_is_its_own(judge: PoolSandbox) -> None:
    problem = Problem(
        "message", "", [ScriptCase('assert f(2) == 3, f"got {f(1)}"')], "f", solutions=["def f(n): return n + 1"]
    )
    verdict = judge.run("def f(n):\n    return 1 // (n - 1)\n", problem)
    assert verdict.failure is not None
    assert (verdict.failure.kind, verdict.failure.line) == ("ZeroDivisionError", 2)


# --------------------------------------------------------------------------------------------------- time and memory

LATE = {
    "sleeps in a call": (
        "import time\ndef f(n):\n    time.sleep(30 if n == 50 else 0)\n    return n - 1\n",
        FailureKind.TIMEOUT,
    ),
    "sleeps a little in each": (
        "import time\ndef f(n):\n    time.sleep(0.02)\n    return n - 1\n",
        FailureKind.TIMEOUT,
    ),
    "never returns": ("def f(n):\n    while n == 50: pass\n    return n - 1\n", FailureKind.TIMEOUT),
    "computes in each": ("def f(n):\n    sum(range(10 ** 6))\n    return n - 1\n", FailureKind.TIMEOUT),
    "sleeps at the start": ("import time\ntime.sleep(30)\ndef f(n):\n    return n - 1\n", FailureKind.TIMEOUT),
    "holds too much": (
        "kept = []\ndef f(n):\n    kept.append(bytes(10 ** 7))\n    return n - 1\n",
        FailureKind.MEMORY_LIMIT,
    ),
    "leaves": ("import os\ndef f(n):\n    if n == 50: os._exit(0)\n    return n - 1\n", FailureKind.EXITED),
    "is killed": (
        "import os\ndef f(n):\n    if n == 50: os.kill(os.getpid(), 9)\n    return n - 1\n",
        FailureKind.KILLED,
    ),
    "raises": ("def f(n):\n    return n - 1 if n != 50 else 1 // 0\n", "ZeroDivisionError"),
    "is not Python": ("def f(n:\n", "SyntaxError"),
    "raises at the start": ("1 // 0\n", "ZeroDivisionError"),
    "has no such function": ("def g(n):\n    return n - 1\n", FailureKind.MISSING_ENTRY_POINT),
}


@pytest.mark.parametrize("what", LATE)
def test_limits_are_those_of_any_other_program(judge: PoolSandbox, what: str) -> None:
    source, expected = LATE[what]
    assert kind(judge, RIGHT) is None
    began = time.monotonic()
    assert kind(judge, source) == expected
    assert time.monotonic() - began < 25, "it would sleep for thirty seconds"
    assert kind(judge, RIGHT) is None


def test_the_time_in_which_a_program_waits_for_the_script_is_not_its_own(judge: PoolSandbox) -> None:
    busy = "n = 100\nwhile n > 0:\n    sum(range(4 * 10 ** 5))\n    n = f(n)\nassert n == 0\n"
    problem = Problem("slow", "", [ScriptCase(busy)], "f", solutions=[RIGHT])
    assert kind(judge, RIGHT, problem) is None
    assert (
        kind(judge, "import time\ndef f(n):\n    time.sleep(0.05)\n    return n - 1\n", problem) == FailureKind.TIMEOUT
    )


def test_a_script_that_never_ends_is_a_time_out_and_the_next_program_is_judged(judge: PoolSandbox) -> None:
    problem = Problem("endless", "", [ScriptCase("while f(1):\n    pass\n")], "f", solutions=["def f(n): return 0"])
    with sandbox.load(judge.backend, **APART, check_seconds=0.3, case_seconds=5.0) as opened:
        assert kind(opened, "def f(n):\n    return True\n", problem) == FailureKind.TIMEOUT
        assert kind(opened, "def f(n):\n    return False\n", problem) is None
        assert kind(opened, RIGHT) is None


def test_programs_that_sleep_in_every_run_have_one_time_for_all(judge: PoolSandbox) -> None:
    text = "for i in range(90):\n    if not f(i): raise AssertionError\n"
    problem = Problem("ask", "", [ScriptCase(text)] * 9, "f", solutions=["def f(i): return True"])
    source = "import time\ntime.sleep(0.5)\nclass Yes:\n    def __bool__(self): return True\ndef f(i): return Yes()\n"
    assert kind(judge, "def f(i): return 0", problem) == FailureKind.WRONG_ANSWER  # the reference has been asked
    began = time.monotonic()
    assert kind(judge, source, problem) is not None
    assert time.monotonic() - began < 2 * (2 * LIMITS["program_seconds"] + LIMITS["wall_seconds"])


# ------------------------------------------------------------------------------------------------------- the pipes

HOSTILE = {
    "a flood": "os.write(5, b'{' * 4_000_000)",
    "a flood of answers": "[os.write(5, b'{\"v\": 1}\\n' * 1000) for _ in range(1000)]",
    "half an answer": "os.write(5, b'{\"v\": 1'); time.sleep(30)",
    "drops": "[(os.write(5, b'{'), time.sleep(0.05)) for _ in range(1000)]",
    "no answer": "os.write(5, b'nonsense\\n')",
    "an empty answer": "os.write(5, b'\\n')",
    "a deep answer": "os.write(5, b'{\"v\": ' + b'[' * 100000 + b'\\n')",
    "a wrong answer": 'os.write(5, b\'[1]\\n{"a": [1]}\\n{"h": "x"}\\n\')',
    "pipes closed": "os.close(4); os.close(5)",
    "pipes swapped": "os.dup2(0, 4); os.dup2(1, 5)",
    "no waiting": "fcntl.fcntl(4, 4, os.O_NONBLOCK); fcntl.fcntl(5, 4, os.O_NONBLOCK)",
    "a small pipe": "fcntl.fcntl(5, 1031, 4096); fcntl.fcntl(4, 1031, 4096); os.write(5, b'{\"v\": 7}\\n' * 900)",
    "what it is asked is eaten": "threading.Thread(target=lambda: [os.read(4, 100) for _ in range(9)], daemon=True).start()",
    "a child that holds the pipe": "os.fork() or time.sleep(30); os._exit(0)",
    "asks itself": "fd = os.open('/proc/self/fd/4', 1); os.write(fd, b'x' * 60000)",
    "leaves its own end": "sys.stdout.flush = lambda: time.sleep(30); return_ = 1",
    "a forged end": "os.write(5, b'{\"v\": 0}\\n' * 3); time.sleep(30)",
}


@pytest.mark.parametrize("what", HOSTILE)
def test_a_program_that_turns_on_its_pipes_harms_only_itself(judge: PoolSandbox, what: str) -> None:
    turn = f"    if n == 50:\n        {HOSTILE[what]}\n"
    source = f"import fcntl, os, sys, threading, time\ndef f(n):\n{turn}    return n - 1 + (n == 5)\n"
    problem = Problem(
        "odd", "", [ScriptCase("n = 100\nwhile n > 0:\n    n = f(n)\nassert n == 0 and f(5) == 4\n")], "f"
    )
    began = time.monotonic()
    verdict = judge.run(source, problem)
    assert verdict.outcome is not Outcome.PASSED
    assert time.monotonic() - began < 25, "it would sleep for thirty seconds"
    for _ in range(2):
        assert kind(judge, RIGHT, problem) is None, "what one left in the pipes is not the next one's"


def test_arguments_longer_than_a_pipe_reach_a_program_that_listens(judge: PoolSandbox) -> None:
    right = "def f(text):\n    return text[:len(text) // 3]\n"
    script = "text = 'x' * 500_000\nwhile text:\n    text = f(text)\n"
    problem = Problem("long", "", [ScriptCase(script)], "f", solutions=[right])
    assert kind(judge, right, problem) is None
    deaf = "import time\ndef f(text):\n    return 'y' * 400_000\ntime.sleep(30)"
    assert kind(judge, deaf, problem) == FailureKind.TIMEOUT
