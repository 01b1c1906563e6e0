"""Which programs may run all their cases in one process: those that provably leave nothing behind."""

# ruff: noqa: E501  (programs, a line each)
from __future__ import annotations

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, StdinCase
from rltf_env.sandbox.battery import trials as battery
from rltf_env.sandbox.cage import harmless, purity

LIMITS = {
    "workers": 2,
    "case_seconds": 0.4,
    "wall_seconds": 0.9,
    "memory_mb": 256,
    "output_bytes": 1 << 20,
    "processes": 32,
}
BACKENDS = pytest.mark.parametrize("backend", ["forkserver", "subprocess"])


def pure(source: str) -> bool:
    return purity.pure(compile(source, "", "exec", dont_inherit=True, optimize=0))


HONEST = {
    "reads and prints": "import sys\ninput = sys.stdin.readline\nn = int(input())\nsys.stdout.write(str(n))\nprint(n, file=sys.stderr)",
    "own classes": "class Node:\n    def __init__(self, x): self.x, self.next = x, None\na = Node(1)\na.next = Node(2)\na.next.x = 5",
    "counters beside own classes": "from collections import Counter, deque, defaultdict\nclass A:\n    def __init__(self, s):\n"
    "        self.c = Counter(s)\n        self.d = defaultdict(list)\n        self.q = deque()",
    "modules by their names": "import math, collections, heapq as hq\nprint(math.gcd(4, 6), collections.Counter('ab').most_common(1))\n"
    "h = []\nhq.heappush(h, math.pi)",
    "annotations": "from typing import List, Dict, Optional\nclass S:\n    def f(self, xs: List[Dict[str, List[int]]], k: Optional[int] = None)"
    " -> List[str]:\n        self.n = len(xs)\n        return []\nmemo: Dict[int, int] = {}",
    "a star": "from math import *\nfrom typing import *\ndef f(x: List[int]): return sqrt(len(x))",
    "a memo": "import functools, sys\nsys.setrecursionlimit(10 ** 6)\n@functools.lru_cache(maxsize=None)\ndef f(n): return n\n"
    "class A:\n    def __init__(self): self.x = f(3)",
    "types compared": "x = 3\nif type(x) is int or type(x) in (list, tuple): print(type(x).__name__)",
    "patterns": "import re\nprint(re.sub('[aeiou]', '', input(), flags=re.I))",
    "streams replaced": "import sys\nsys.stdin = iter(())\nclass A:\n    def f(self, x): self.x, self.y = x, self.x",
    "copies": "import copy\ngrid = [[1]]\nother = copy.deepcopy(grid)\nclass A:\n    def f(self): self.g = copy.copy(grid)",
    "generators": "def g():\n    try:\n        yield 1\n    finally:\n        print(2)\nprint(sum(x for x in g()))",
    "a main function": "def main():\n    import sys\n    data = sys.stdin.read().split()\n    print(len(data))\n"
    "if __name__ == '__main__':\n    main()",
    "names of modules as variables": "time = 3\nqueue = [time]\nos = queue\nprint(os)",
    "the clock": "import time\nstart = time.time()\nprint(time.perf_counter() > 0)",
    "closures over modules": "def f():\n    import math\n    def g(): return math.sqrt(4)\n    return g()",
    "templates": "print('{} {:.2f} {0!r:>{1}}'.format(1, 2.5), '{a}'.format_map({'a': 1}), f'{1:.1f}')",
    "a data class": "import dataclasses\n@dataclasses.dataclass(order=True)\nclass P:\n    x: int\n    y: int = 0\nprint(P(1) < P(2))",
}  # fmt: skip


@pytest.mark.parametrize("source", HONEST.values(), ids=HONEST)
def test_ordinary_programs_share_a_process(source: str) -> None:
    assert pure(source)


def test_on_a_version_whose_instructions_are_not_known_no_program_shares_a_process(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(purity, "_READABLE", False)
    assert not pure("print(1)")


LEAVING = (
    # what is not known to be harmless
    "import os", "import numpy as np", "from os.path import join", "import threading", "import xml.dom", "import decimal",
    "import time\ntime.sleep(1)", "import gc", "import io", "import enum", "from math import nothing", "import program",
    # names that lead to anything
    "open('x')", "exec('')", "().__class__", "getattr(1, 'x')", "f = getattr", "setattr(A, 'x', 1)", "__builtins__", "id(3)",
    "(lambda: 0).__globals__", "def f():\n    def g(): return [open for _ in ()]", "vars()", "(x for x in ()).gi_frame",
    "try: 1/0\nexcept Exception as e: e.__traceback__", "try: f\nexcept Exception as e: e.x.tb_frame.f_back", "__import__('os')",
    # attributes by templates
    "'{0.__globals__}'.format(len)", "'{:{0.x}}'.format(1)", "'{0[x]}'.format({})", "print(input().format(1))", "f = ''.join(x).format_map",
    "(t if c else '{}').format(f)", "(t or '{}').format(f)", "(t and '{}').format(f)", "['{}', t][1].format(f)",
    "('{}' if c else t).format(f)", "'{}'[:].format(f)", "('{}' + t).format(f)", "t.join('{}').format(f)",
    "str.format('{}', 1)", "a = ''\na.format(1)", "class A(str):\n    def f(self): return super().format(1)",
    # the library's enumerations
    "import re\nre.A._member_map_['x'] = 1", "import re\ndef f(x): return x._value2member_map_\nf(re.I)",
    # a module as a value, or what is not in its list
    "import sys\nsys.modules", "import sys\nsys.path.append(1)", "import sys\nx = sys", "import sys\ngetattr(sys, 'mod' + 'ules')",
    "import sys\nsys.warnoptions.append(1)", "import copy\ncopy._deepcopy_dispatch['n'] = 1", "import math\n[math][0].x = 1",
    "import math\ndef f(m): m.n = 1\nf(math)", "import sys\n(s := sys).modules", "import random\nrandom._inst", "import re\nre._cache",
    "class A:\n    import math\nA.math", "class A:\n    from sys import stdin\nA.stdin", "import collections.abc\ncollections.abc.x",
    "import math\ndef f():\n    global math\n    return math", "import math\nf = lambda: math", "import sys\nfor sys.argv in (): pass",
    "import sys\nsys.argv.append(2)", "import sys as s, math\nprint(math if s else s)", "import sys\nwith sys as x: pass",
    # attributes set on what is the library's
    "import math\nmath.x = 1", "import math\ndel math.pi", "from random import Random\nRandom.x = 1",
    "import collections\ndef f(): collections.Counter.x = 1", "from collections import Counter\ndef f(c): c.x = 1\nf(Counter)",
    "from collections import Counter\nC = Counter\nC.x = 1", "from copy import deepcopy\ndef f(g): g.x = 1\nf(deepcopy)",
    "from collections import Counter\n(c := Counter)().x = 1", "from collections import Counter\n(c := Counter[int])().x = 1",
    "from collections import Counter\nclass A(Counter):\n    def f(self): self.x = 1", "def f(q): q.x = 1\nf(exit)",
    "from collections import Counter\ndef f(c): c.stdout = 1\nf(Counter)", "import re\ndef f(m): m.n = 1\nf(re.I)",
    "from functools import wraps\nfrom collections import Counter\nwraps(len)(Counter)", "from fractions import Fraction\n"
    "def f(c): c.n = 1\nf(type(Fraction(1)))", "from collections import Counter\ntry: Counter.nothing\nexcept AttributeError as e:\n"
    "    e.obj.x = 1", "from functools import total_ordering\nclass A:\n    def __lt__(self, o): return True\n"
    "total_ordering(A)\nf = A.__gt__\nf.n = 1", "from collections import Counter\nfor Counter.x in (1,): pass",
    "from collections import Counter\nclass B:\n    def f(self): self.x = Counter.most_common\nB().x",
    "from collections import Counter as C\ndef f(k=C): k.x = 1", "from dataclasses import dataclass\nfrom fractions import Fraction\n"
    "dataclass(Fraction)", "from functools import *\nsingledispatch(len).register(int)", "exit.n = 1",
    # patterns that ask for attributes by constants
    "match len:\n    case object(__self__=m): print(m)", "match 1:\n    case int(real=r): print(r)",
    # what the library keeps of its arguments, or shows them of its own
    "import typing\nclass K:\n    def __eq__(self, o): return True\ntyping.List[K()]", "from typing import List\nprint(List[int])",
    "import re\nclass F(int):\n    def __eq__(self, o): return True\n    def __hash__(self): return 0\nre.compile('a', F(2))",
    "import re\nclass S(str):\n    def translate(self, t): t[1] = 2\nre.escape(S('a'))", "from copy import deepcopy\n"
    "class M(dict):\n    def get(self, k, d): d.append(1)\ndeepcopy([], M())", "from copy import deepcopy\nlist(map(deepcopy, [], []))",
    "from datetime import datetime\nclass S(str):\n    def __hash__(self): return 0\ndatetime.strptime('1', S('%d'))",
    "from typing import List\nclass G:\n    def __getitem__(self, k): return k\ndef f(x: G()[List[int]]): pass",
    "def f(x: int): pass\nf.__annotations__", "import operator\noperator.attrgetter('a.b')",
    # classes made with texts for names; objects that are heard of when they go
    "type('X', (), {'__reduce_ex__': 1})", "T = type(int)", "type(int)('X', (), {})", "class M(type): pass",
    "class A:\n    def __del__(self): print(1)", "class A:\n    def __set_name__(self, o, n): o.x = n",
    "class A:\n    def __eq__(self, o): return o\ntype(3) == A()", "class A:\n    def __mro_entries__(self, b): return b",
    # what a standard stream stands on
    "import sys\nsys.stdin.buffer.raw.x = 1", "import sys\nsys.stdout.detach()", "import sys\nsys.stdout.tell()", "import sys\nsys.stdout.seek(0)",
    "import sys\nsys.stderr.reconfigure(errors='x')", "import sys\nprint(sys.stdin.fileno())",
)  # fmt: skip


@pytest.mark.parametrize("source", LEAVING)
def test_programs_that_might_leave_something_behind_do_not(source: str) -> None:
    assert not pure(source)


def test_no_name_of_a_module_that_a_program_may_use_is_a_container_or_a_module() -> None:
    plain = (int, float, complex, str, tuple, frozenset, type(None))
    for module in harmless.MODULES:
        space = vars(__import__(module, fromlist=["*"]))
        for name in harmless.table(module):
            value = space[name]
            assert (
                callable(value)
                or isinstance(value, plain)
                or module in ("typing", "re", "__future__", "sys", "datetime")
            ), name


# -------------------------------------------------------------------------------------------------- the same verdicts

TRIANGLE = Problem("triangle", "", [StdinCase(f"{n}\n", f"{n * (n + 1) // 2}\n") for n in range(1, 7)])
NTH = Problem("nth", "", [CallCase((n,), n * n) for n in range(1, 7)], "f")
SUMS = {  # wrong programs that would be right if anything of a case were left for the next
    "deepcopy": "import copy\nd = copy._deepcopy_dispatch\nd['sum'] = d.get('sum', 0) + int(input())\nprint(d['sum'])",
    "default": "import copy\nclass M(dict):\n    def get(self, key, default):\n        self.seen = default\n        return 0\nm = M()\n"
    "copy.deepcopy([], m)\nm.seen.append(int(input()))\nprint(sum(m.seen))",
    "class": "from collections import Counter\ndef f(c, n):\n    try: c.whole += n\n    except AttributeError: c.whole = n\n"
    "    return c.whole\nprint(f(Counter, int(input())))",
    "table": "import re\nclass S(str):\n    def translate(self, table):\n        table['n'] = table.get('n', 0) + int(input())\n"
    "        print(table['n'])\n        return ''\nre.escape(S('a'))",
    "function": "import heapq\ndef f(g, n):\n    g.n = (g.n if hasattr(g, 'n') else 0) + n\n    return g.n\nprint(f(heapq.merge, int(input())))",
    "pattern": "import re\nclass F(int):\n    def __new__(cls, n):\n        self = int.__new__(cls, 0)\n        self.n = n\n        return self\n"
    "    def __hash__(self): return 0\n    def __eq__(self, other):\n        if hasattr(other, 'n'): other.n = self.n = self.n + other.n\n"
    "        return True\nf = F(int(input()))\nre.compile('a', f)\nprint(f.n)",
    "position": "import sys\ndone = sys.stdout.tell()\nn = int(input())\nprint(n + done)\nprint(' ' * n)",
    "memory": "def fits(k):\n    try:\n        bytes(k << 20)\n        return True\n    except MemoryError:\n        return False\n"
    "n = int(input())\nme = [bytearray(8 * n << 20)]\nme.append(me)\nk = max(k for k in range(0, 300, 8) if fits(k))\n"
    "top = 248\nprint((top - k) // 8)",
    "texts": "from collections import namedtuple\ndef new(k):\n    text = ''.join(['qq', str(k)])\n    kind = namedtuple('K', [text])\n"
    "    return kind, kind._fields[0] is text\nn, k = int(input()), 0\nwhile not new(k)[1]: k += 1\n"
    "kept = [new(i)[0] for i in range(k + n)]\nprint(k + n)",
    "stream": "import sys\nsys.stderr.n = (sys.stderr.n if hasattr(sys.stderr, 'n') else 0) + int(input())\nprint(sys.stderr.n)",
}  # fmt: skip


@BACKENDS
def test_no_running_sum_is_paid(backend: str) -> None:
    calls = "import sys\ndef f(n):\n    sys.warnoptions.append(2 * len(sys.warnoptions) + 1)\n    return sum(sys.warnoptions)"
    jobs = [*((source, TRIANGLE) for source in SUMS.values()), (calls, NTH)]
    with sandbox.load(backend, **LIMITS) as judge:
        verdicts = list(judge.map(jobs))
    assert Outcome.PASSED not in [verdict.outcome for verdict in verdicts]
    # All come to an end but one.
    assert sum(verdict.outcome is Outcome.WRONG_ANSWER for verdict in verdicts) >= len(jobs) - 1


STREAMS = {
    "stderr closed": "import sys\nprint('x', file=sys.stderr)\nprint(int(input()) ** 2)\nsys.stderr.close()",
    "stderr replaced": "import sys\nprint('x', file=sys.stderr)\nprint(int(input()) ** 2)\nsys.stderr = None",
    "stderr detached": "import sys\nprint('x', file=sys.stderr)\nprint(int(input()) ** 2)\nsys.stderr.detach()",
    "stdin detached": "import sys\nprint(int(sys.stdin.readline()) ** 2)\nsys.stdin.detach()",
    "stdin closed": "import sys\nprint(int(sys.stdin.readline()) ** 2)\nsys.stdin.close()",
    "buffers closed": "import sys\nprint(int(input()) ** 2, flush=True)\nsys.stdin.buffer.close()\nsys.stderr.buffer.close()",
    "stdout reconfigured": "import sys\nprint(int(input()) ** 2)\nsys.stdout.reconfigure(newline='\\r\\n')",
    "stdout deleted": "import sys\nprint(int(input()) ** 2, flush=True)\ndel sys.stdout",
    "stdout rewound": "import sys\nsys.stdout.seek(0)\nprint(int(input()) ** 2)",
    "raw stream closed": "import sys\nprint(int(input()) ** 2, flush=True)\nsys.stdout.buffer.raw.close()",
    "generator in a cycle": "def g(me):\n    try:\n        yield 1\n    finally:\n        print('bye')\nbox = []\n"
    "box.append(g(box))\nnext(box[0])\nprint(int(input()) ** 2)\ndel box",
    "object in a cycle": "class A:\n    def __init__(self): self.me = self\n    def __del__(self): print('bye')\nA()\n"
    "print(int(input()) ** 2)",
    "digits": "import sys\nsys.set_int_max_str_digits(640)\nprint(int(input()) ** 2)",
    "line ends": "print(int(input()) ** 2)\nx = input()\nprint(len(x), repr(x))",
    "names of streams": "import sys\nprint(sys.stdin.name, sys.stdout.name, sys.stderr.name, sys.stderr.errors, sys.stdin.errors)",
}  # fmt: skip
SQUARES = Problem("square", "", [StdinCase(f"{n}\r\na\rb\r\n", f"{n * n}\n") for n in (3, 4, 5)])


@BACKENDS
def test_what_a_case_does_to_its_streams_does_not_reach_the_next(backend: str) -> None:
    jobs = [(source, SQUARES) for source in STREAMS.values()]
    with sandbox.load(backend, **LIMITS) as shared, sandbox.load(backend, **LIMITS, isolate=True) as apart:
        for name, one, other in zip(STREAMS, shared.map(jobs), apart.map(jobs), strict=True):
            assert one.same(other), name
            assert [r.stdout for r in one.results] == [r.stdout for r in other.results], name


def test_finalizers_of_a_call_print_into_no_other_call() -> None:
    source = "def g(me):\n    try:\n        yield 1\n    finally:\n        print('bye')\nbox = []\nbox.append(g(box))\nnext(box[0])\ndef f(n): return n * n"
    with sandbox.load(**LIMITS) as shared, sandbox.load(**LIMITS, isolate=True) as apart:
        outputs = [[r.stdout for r in judge.run(source, NTH).results] for judge in (shared, apart)]
    assert outputs[0] == outputs[1] == [""] * 6


@pytest.mark.slow
@pytest.mark.timeout(900)
@BACKENDS
def test_the_battery_is_judged_the_same_with_a_process_for_each_case(backend: str) -> None:
    certain = [trial for trial in battery.trials() if len(trial.right) == 1 and trial.right != ("fail",)]
    jobs = [(trial, problem) for trial in certain for problem in trial.problems if len(problem.cases) > 1]
    pairs = [(trial.source, problem) for trial, problem in jobs]
    with sandbox.load(backend, **LIMITS) as shared, sandbox.load(backend, **LIMITS, isolate=True) as apart:
        verdicts = zip(jobs, shared.map(pairs), apart.map(pairs), strict=True)
        differ = [
            (t.name, p.id, one.failure, other.failure)
            for (t, p), one, other in verdicts
            if one.outcome != other.outcome
        ]
    assert not differ
