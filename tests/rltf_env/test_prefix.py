"""Prefixes: what can be completed is never called dead; what CPython's parser refuses is found, and where.

The oracle is the interpreter's own compiler, here in the tests, on texts of this project, of Python's library and of
datasets. It knows one version; `GOOD` holds what any of 3.11 to 3.13 takes, so it is listed by hand.
"""

from __future__ import annotations

import ast
import gzip
import json
import pickle
import random
import subprocess
import sys
import sysconfig
import warnings
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rltf_env import datasets
from rltf_env.core import Problem
from rltf_env.prefix import DEAD, Prefix, _grammar, _lr, dead_at

PROBLEMS = datasets.load("procedural", size=60)

GOOD = r"""
x = 1 \⏎  + 2|    # note⏎|⏎⏎|if a:⏎  b⏎    \⏎  # note⏎|x = (1\⏎)|\⏎x|  ⏎x|if a:⏎⇥b⏎⇥c|x;|if x: y; z⏎else: w
f'{x:{{y}}}'|f'{x!r:"}'|f'{x=:>3}'|f'{x:=5}'|f'{a["b"]}'|f'{"a"}'|f"{"a"}"|f'{a:{b}{c}d}'|f'{x!=y!r}'|f'{{}}'|f'''{⏎a⏎}'''
f'{*a,}'|f'{(lambda x: 1)}'|rf'\{x}'|f'{x:\'}'|f'\N{DIGIT ONE}{x}'|f'{x:\N{DIGIT ONE}}'|'a' f'b{c}' 'd'|f'{f"{x}"}'|f'{x !r}'
rb'a' Rb'c' bR'd'|U'a'|''|''''''|''' ' '' '''|'a\⏎b'|'\x41\u00e9\U0010ffff\N{BULLET}'|b'\u12'|r'\x'|r'\''|'\d'
0|00|0_0|09.5|0e0|0x_f|0b1|1_000.5e-3j|1..real|1 .real|.5|1e5|x if 1else y|[0x1for x in y]|1jif x else y|0xfor x
...|a[...]|from ... import a|from .... a import *|from . import (a as b, c,)|import a.b as c, d|from a.b.c import *|x = ...
a[*b]|a[*b, c]|a[:]|a[::]|a[1:2, ...]|x[a:=1]|a()()|a()[b].c|f(a=1, *b)|f(*a, b)|f(**a, b=1)|f(a:=1)|f(x for x in y)
a < b not in c is not d|not a + b|not not a|- + ~ a ** - b|a if b else lambda: c|lambda *, a: 1|lambda *a, b=1, **c: 1|lambda: (yield)
{**a, 'b': 1}|{*a, b}|{}|{a: b for c in d}|{a for a in b if c if d}|[y := 1, *b]|(a,)|()|(yield)|x = yield|[a for a, in b]
x: int = *a, 2|(a): int|a.b: int = 1|a[0]: int|f().x = 1|(f().x) += 1|(a) += 1|() = x|[] = x|(a, [b, *c]) = x|a.b = *e, = f
del (a), b|del (a,)|del a.b, c[0], (d, [e])|for (x) in y: pass|for a.b[c] in d: pass|for x in *a, b: pass|for a, in b: pass
with a as (b, c): pass|with (a, b as c,): d|with (a): d|with (a) as b: d|with (a, b) as c: d|with (yield): pass|with a as b.c, d: e
def f(a, /, b=1, *, c, **k,): pass|def f(*a: *b): pass|def f(x, *, y=1, z): pass|def f[T: int = str, *P, **Q](a: T) -> T: pass
class A[T](B, metaclass=C): pass; x = 1|@x := y⏎def f(): return|@a⏎@b(1)⏎class C: pass|async def f():⏎ async for x in await y: pass
try: a⏎except* A as b: c|try: a⏎except A: b⏎except: c⏎else: d⏎finally: e|while x: y⏎else: z|if a := 1: pass|assert (a := 1), b
match = 1⏎match[x]: int = 1⏎match(x)⏎match.a|type = 1|type(x)|type X[T] = int|case = 1|_ = 1|match|print >>f, a|é = 1|x·y = 1
match *a, b:⏎ case _: pass|match x:⏎ case -1+2j | None | 'a' 'b': pass⏎ case {'a': 1, **k}: pass⏎ case A.b(c, d=1,): pass⏎
match [x]:⏎ case [a, *_], (b): pass⏎ case (): pass⏎ case a.b as c if x := y: pass⏎ case {}: pass⏎ case *a,: pass⏎
"""
# `‸` stands right behind the character with which it became impossible: for a word, that is the one after it.
BAD = r"""
(]‸|{1: 2, 3}‸|{1, 2:‸ 3}|print "‸a"|exec "‸a"|x = $‸|x ?‸|a <>‸ b|`‸|x !y‸|a->‸ b|x = “‸a”|x²‸
 x‸|if x:⏎y‸|if x:⏎  y⏎    z‸|if x:⏎  y⏎ z‸|if x:⏎⇥y⏎        z‸|x = 1⏎  y‸|else:‸|elif ‸x|for x in y: if ‸z|;‸ x|;‸|x;;‸
'a⏎‸|'\x4g‸|'\u12'‸|'\U0011‸0000'|'\Na‸'|b'é‸'|'a' b‸'c'|b'a' '‸c'|ur'‸a'|f'} ‸'|f'{}‸'|f'{a}}'‸|f'{a b‸}'|f'{lambda x:‸1}'|f'{x!x‸}'
1x‸|1_ ‸|1__‸0|077 ‸|0xg‸|0o8‸|0b12‸|1e ‸|10L‸|1.r‸eal|a.1‸|a 1‸|'a' 1‸|f(,‸|a[]‸|a[:::‸]|a..‸b|(a := 1) :‸= 2
f() = ‸1|a + b = ‸1|1 = ‸2|None = ‸1|a if b else c = ‸1|(a, b) +=‸ 1|a, b +=‸ 1|[a]:‸ int|(*a)‸ |x = *a⏎‸|*a⏎‸|del f()⏎‸|del *‸a|x = yield =‸ y
f(a=1, b)‸|f(**a, *b‸)|f(a for a in b,‸ 1)|f(1, a f‸or a in b)|class A(x f‸or x in y)|{**a f‸or a in b}|{*a f‸or a in b}|f(a.b=1‸)|f((a)=1‸)|f(None=1‸)
def f(a=1, b)‸: pass|def f(*)‸|def f(/‸|def f(None)‸|def f((‸|lambda *:‸|def f(**k, a‸|def f(*, *‸*k)|lambda x=1, y:‸
a + not ‸b|a == not ‸b|- not ‸a|await await ‸x|[x for x in lambda:‸ y]|a if b⏎‸|x f‸or x in y|a[*b:‸c]|for *a i‸n b
try: a⏎b‸|try: a⏎el‸se:|try: a⏎except: b⏎except ‸A: c|try: a⏎except A: b⏎except*‸ C: d|with:‸ a|with (a as b),‸ c: d
import a as b.‸c|import *‸|from x import (a),‸ b|from x import a,⏎‸|from a import b.‸c|global a.‸b|@a⏎x‸ = 1|async x‸ |async l‸ambda
match x: p‸ass|match x:⏎ p‸ass⏎|match x:⏎ case 1: pass⏎ y‸ |match x:⏎ case +‸1: pass|match x:⏎ case A(b=1, c)‸: pass|match x:⏎ case a :=‸ b: pass
"""


def cases(table: str) -> list[str]:
    """The programs of a table; `⏎` is a newline, `⇥` a tab, `|` stands between them."""
    lines = table.strip("\n").split("\n")
    apart = [part for line in lines for part in _split(line)]
    return [part.replace("⏎", "\n").replace("⇥", "\t") for part in apart]


def _split(line: str) -> list[str]:
    return [part.replace("\0", " | ") for part in line.replace(" | ", "\0").split("|")]


def compiles(text: str) -> bool:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            compile(text, "text", "exec", dont_inherit=True)
        except (SyntaxError, ValueError):
            return False
    return True


# -------------------------------------------------------------------------------------------------------------- tables


@pytest.mark.parametrize("text", cases(GOOD), ids=repr)
def test_a_program_is_alive_at_every_character_and_complete_at_its_end(text: str) -> None:
    assert dead_at(text) is None, text[: (dead_at(text) or 0) + 1]
    assert Prefix().feed(text).complete


@pytest.mark.parametrize(("version", "alive"), [((3, 13), False), ((3, 14), True)])
def test_exceptions_without_parentheses_are_the_newest_versions(version: tuple[int, int], alive: bool) -> None:
    machine = _lr.Machine(_lr.Table(_grammar.productions(version), _grammar.START))
    stacks = (machine.bottom,)
    for terminal in "'try' ':' NAME NEWLINE 'except' NAME ',' NAME ':' NAME NEWLINE END".split():
        stacks = machine.advance(stacks, terminal)
    assert bool(stacks) is alive


def test_threads_share_the_states_that_they_make(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_lr, "PYTHON", _lr.Machine(_lr.Table(_grammar.productions(), _grammar.START)))
    often = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)
    try:
        with ThreadPoolExecutor(8) as threads:
            complete = list(threads.map(lambda text: Prefix().feed(text).complete, cases(GOOD)))
    finally:
        sys.setswitchinterval(often)
    assert all(complete)


@pytest.mark.parametrize("marked", cases(BAD), ids=repr)
def test_what_is_no_program_is_dead_at_the_right_character(marked: str) -> None:
    before, _, rest = marked.partition("‸")
    assert dead_at(before + rest) == len(before) - 1
    assert not compiles(before + rest)


@pytest.mark.parametrize(
    "text",
    ["def f():", "def f():\n", "x = (1,", "'''a", "f'{x", "x = 1 \\\n", "if x: pass\nelse:", "@a\n", "x +", "try: a\n"],
)
def test_an_unfinished_program_is_alive_and_not_complete(text: str) -> None:
    prefix = Prefix().feed(text)
    assert (prefix.alive, prefix.complete) == (True, False)


@pytest.mark.parametrize("text", ["return 1", "break", "def f(a, a): pass", "x = await y", "nonlocal a", "*a, *b = c"])
def test_what_only_the_compiler_knows_is_not_found(text: str) -> None:
    assert not compiles(text)
    assert Prefix().feed(text).complete


# ---------------------------------------------------------------------------------------------------------- soundness


def check_sound(text: str) -> None:
    """A program of the interpreter's is alive throughout and complete."""
    place = dead_at(text)
    assert place is None, text[max(0, (place or 0) - 200) : (place or 0) + 1]
    assert Prefix().feed(text).complete, text[-200:]


def test_references_of_procedural_problems_are_alive_throughout() -> None:
    for problem in PROBLEMS:
        check_sound(problem.solutions[0])


@pytest.mark.parametrize("name", ["mbpp", "humaneval"])
def test_references_of_datasets_are_alive_throughout(name: str, data: Path) -> None:
    folder = data / name
    problems: list[Problem] = list(datasets.load(name, root=str(data) if name == "mbpp" else None))
    assert folder.is_dir()
    assert problems
    for problem in problems[::4]:
        for solution in problem.solutions:
            check_sound(solution)


def library(size: int, seed: int) -> list[str]:
    """Files of Python's own library, drawn at random."""
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).glob("*.py"))
    texts = [path.read_text(encoding="utf-8") for path in random.Random(seed).sample(files, size)]
    return [text for text in texts if len(text) < 30_000]


def test_files_of_the_library_are_alive_throughout() -> None:
    for text in library(8, seed=0):
        check_sound(text)


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_every_file_of_the_library_is_judged_as_the_interpreter_does() -> None:
    files = sorted(Path(sysconfig.get_paths()["stdlib"]).rglob("*.py"))
    for path in random.Random(1).sample(files, 300):
        try:
            text = path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue
        if len(text) < 60_000 and compiles(text):
            check_sound(text)


EDITS = st.lists(
    st.tuples(
        st.integers(0, 400),
        st.integers(0, 3),
        st.sampled_from(["", *"()[]{}:,=\n\t'\"# *.x1", "\n    ", " if ", "not "]),
    ),
    max_size=3,
)


@settings(max_examples=150)
@given(st.sampled_from([problem.solutions[0] for problem in PROBLEMS]), EDITS)
@example("def f(x):\n    return x\n", [(0, 0, "\n    ")])
def test_an_edited_program_that_compiles_is_never_called_dead(text: str, edits: list[tuple[int, int, str]]) -> None:
    for at, removed, inserted in edits:
        text = text[:at] + inserted + text[at + removed :]
    prefix = Prefix().feed(text)
    if compiles(text):
        assert prefix.alive
        assert prefix.complete
    elif prefix.complete:  # then Python's parser takes it, and only its compiler does not
        ast.parse(text)


def test_real_syntax_errors_are_found_before_the_end(data: Path) -> None:
    path = data / "humaneval" / "codegen16b_completions.jsonl.gz"
    problems = {problem.id: problem for problem in datasets.load("humaneval")}
    wrong, dead, finished = 0, 0, []
    for row in map(json.loads, gzip.decompress(path.read_bytes()).splitlines()):
        given = problems[row["task_id"]].prefix
        if compiles(given + row["completion"]):
            continue
        prefix = Prefix().feed(given + row["completion"])
        wrong, dead = wrong + 1, dead + (not prefix.alive)
        finished += [given + row["completion"]] if prefix.complete else []
    assert (wrong, dead) == (74, 41)  # the other 32 were cut off, and could have gone on
    assert len(finished) == 1
    assert "from __future__" in finished[0]


# ---------------------------------------------------------------------------------------------------------- values


def test_feeding_makes_a_new_value_and_leaves_the_old_one() -> None:
    before = Prefix().feed("x = ")
    after = before.feed(")")
    assert (before.alive, after.alive) == (True, False)
    assert before.feed("1").complete
    assert after is DEAD
    assert not DEAD.feed("x = 1").alive


def test_pieces_of_any_size_lead_to_the_same_place() -> None:
    text = "def f(x, y=1):\r\n\tif x >= 'é\\n':\n\t\treturn f'{x!r:>{y}}'\n"
    whole = Prefix().feed(text)
    for seed in range(20):
        rng, prefix, data = random.Random(seed), Prefix(), text.encode()
        while data:
            n = rng.randint(1, 5)
            prefix, data = prefix.feed_bytes(data[:n]), data[n:]
        assert prefix == whole
        assert prefix.complete


def test_statements_end_where_they_began() -> None:
    one, other = Prefix().feed("x = 1\ny\n"), Prefix().feed("y = [1, 2]\nif z:\n    pass\nw\n")
    assert one == other
    assert hash(one) == hash(other)


def test_a_prefix_crosses_processes() -> None:
    prefix = Prefix().feed("def f(x):\n    return (x +")
    code = (
        "import pickle, sys; p = pickle.load(sys.stdin.buffer).feed(' 1)'); sys.stdout.write(f'{p.complete} {p.alive}')"
    )
    done = subprocess.run(
        [sys.executable, "-c", code], input=pickle.dumps(prefix), capture_output=True, timeout=60, check=True
    )
    assert done.stdout == b"True True"
    assert pickle.loads(pickle.dumps(prefix)) == prefix


@pytest.mark.parametrize(
    ("data", "alive"),
    [
        (b"'\xc3", True),
        (b"'\xc3\xa9'", True),
        (b"'\xc3'", True),  # U+FFFD
        (b"x\xc3", True),
        (b"x\xc3\xa9 = 1", True),
        (b"x = \xff", False),
        (b"1\xc3", False),  # no character beyond ASCII may come right behind a number
        (b"b'\xc3", False),
        (b"# \xc3\n", True),
    ],
)
def test_bytes_of_a_character_may_come_one_by_one(data: bytes, alive: bool) -> None:
    prefix = Prefix()
    for byte in data:
        prefix = prefix.feed_bytes(bytes((byte,)))
    assert prefix.alive == alive
    assert Prefix().feed_bytes(data).alive == alive


def test_the_piece_that_was_one_too_many_is_named() -> None:
    assert dead_at(["x = ", "(1", "]", "\n"]) == 2
    assert dead_at([b"x = '\xc3", b"\xa9'"]) is None
    assert dead_at(["1 2"], start=Prefix().feed("# ")) is None
