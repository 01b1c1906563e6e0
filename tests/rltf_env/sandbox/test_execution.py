"""Scripts and checkers that run what a program answered: what it is found by, and that nothing of it runs outside the cage."""

from __future__ import annotations

import ast
from collections.abc import Iterator

import pytest

from rltf_env import sandbox
from rltf_env.core import CallCase, Outcome, Problem, Sandbox, ScriptCase, StdinCase
from rltf_env.datasets import codeforces
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee.execution import place_in_checker, running

RUNNING = [
    "assert eval(f(1)) == 24",
    "r = f(1)\ntext = r.strip()\nassert eval(text) == 24",
    "ns = {}\nexec(f('sq'), ns)\nassert ns['sq'](3) == 9",
    "for call in f(3):\n    assert eval(call) == 1",
    "texts = []\ntexts.append(f(1))\nassert eval(texts[0]) == 1",
    "d = {}\nd['x'] = f(1)\nassert eval(d['x']) == 1",
    "def value(text):\n    return eval(text)\nassert value(f(1)) == 1",
    "class Runner:\n    def run(self, code):\n        exec(code)\nRunner().run(f(1))",
    "value = lambda text: eval(text)\nassert value(f(1)) == 1",
    "assert list(map(eval, f(1))) == [1]",
    "run = eval\nassert run(f(1)) == 1",
    "def helper():\n    return f(1)\nassert eval(helper()) == 1",
    "try:\n    f(1)\nexcept ValueError as error:\n    assert eval(str(error)) == 1",
    "with open(f(1)) as file:\n    assert file.read()",
    "assert eval(eval('f(1)')) == 2",
    "import pickle\nassert pickle.loads(f(1)) == 1",
    "from pickle import loads\nassert loads(f(1)) == 1",
    "import os\nassert os.system(f(1)) == 0",
    "import subprocess as sp\nassert sp.run(f(1), shell=True).returncode == 0",
    "from os import *\nassert system(f(1)) == 0",
    "import sqlite3\ndb = sqlite3.connect(':memory:')\nassert db.execute(f(1)).fetchall() == [(1,)]",
    "from pathlib import Path\nassert Path(f(1)).read_text()",
    "import os\nassert getattr(os, f(1))",
    "import io\nassert io.open(f(1)).read()",
    "import builtins\nassert builtins.eval(f(1)) == 1",
    "assert __import__(f(1)).pi > 3",
    "match f(1):\n    case [text]:\n        assert eval(text) == 1",
    "if (text := f(1)):\n    assert eval(text) == 1",
    "import os\nassert list(map(os.system, f(1))) == [0]",
    "import os.path\nassert os.system(f(1)) == 0",
    "import urllib.parse\nassert urllib.request.urlopen(f(1))",
    "import os\nmachine = os\nassert machine.system(f(1)) == 0",
    "from pickle import *\nassert loads(f(1)) == 1",
    "import os\nrun = os.system\nassert run(f(1)) == 0",
    "from pathlib import Path\npath = Path(f(1)) / 'x'\nassert path.read_text()",
    "import pathlib\nassert getattr(pathlib.Path(f(1)), 'read_text')()",
    "import logging\nlogging.basicConfig(filename=f(1))\nassert f(1)",
    "import logging.config\nlogging.config.fileConfig(f(1))\nassert f(1)",
    "import argparse\nassert argparse.FileType()(f(1))",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    pool.map(eval, [f(1)])",
    "names = []\nnames.append(f(1))\nassert open(names[0]).read()",
    "import runpy\nfile = open('x.py', 'w')\nfile.write(f(1))\nassert runpy.run_path('x.py')['x'] == 1",
]
HARMLESS = [
    "assert f(1) == 2",
    "for call, want in [('f(1)', 2), ('f(2)', 3)]:\n    assert eval(call) == want",
    "ns = {}\nexec('def g(x): return x + 1', ns)\nassert f(1) == ns['g'](1)",
    "import math, json, re, ast\nassert math.isclose(f(1), 2) and json.loads(f(2)) and ast.literal_eval(f(3)) == [1]",
    "import os\nassert f(os.sep) == '/'",
    "import sys\nassert f(1) == 2, sys.exit(1)",
    "import sys\nprint(f(1), file=sys.stderr)\nassert f(1) == 2",
    "door = Door()\ndoor.open(Key())\nassert getattr(door, 'is_open') and getattr(f(1), 'x', None) is None",
    "assert compile(f(1)) == 2",
    "f(open)\nassert f(1) == 2",
    "open('seen.txt', 'w').write('x')\nassert f('seen.txt') == 'x'",
    "open('log.txt', 'a').write(f(1))\nwith open('log.txt', 'a') as file:\n    file.write(f(2))\nassert f(1) == 'x'",
    "import logging\nlogging.basicConfig(level=1)\nlog = logging.getLogger('x')\nlog.info('got %s', f(1))\nassert f(1)",
    "from pathlib import Path, PurePosixPath\nassert PurePosixPath(f(1)) == Path(f(1))",
    "import os.path, os\nassert os.path.normpath(f(1)) == '/x'.replace('/', os.sep)",
    "from os import path\nassert path.basename(f(1)) == 'x'",
    "import argparse\np = argparse.ArgumentParser()\np.add_argument('x', type=int)\nassert p.parse_args([f(1)]).x == 1",
    "from concurrent.futures import ThreadPoolExecutor\nwith ThreadPoolExecutor() as pool:\n    pool.map(len, [f(1)])",
    "import os.path as p, urllib.parse\nassert p.basename(f(1)) == urllib.parse.quote(f(1))",
    "import pickle\nassert pickle.dumps(f(1)) == pickle.dumps(2)",
]


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1) as judge:
        yield judge


@pytest.mark.parametrize("script", RUNNING)
def test_a_script_that_may_run_an_answer_is_known_by_its_text(script: str) -> None:
    assert running([ast.parse(script)], {"f"}) is not None


@pytest.mark.parametrize("script", HARMLESS)
def test_a_script_that_runs_its_own_texts_may_run_anywhere(script: str) -> None:
    names = {"f", "Door", "Key", *(["compile"] if "compile" in script else [])}
    assert running([ast.parse(script)], names) is None


@pytest.mark.parametrize("solutions", [[], ["def f(xs): return '6*4'"]])
def test_what_a_program_answers_is_run_in_the_cage_alone(judge: Sandbox, solutions: list[str]) -> None:
    problem = Problem("game", "x", [ScriptCase("assert eval(f([6, 4])) == 24")], "f", solutions=solutions)
    hostile = "def f(xs): return \"'rltf_env.sandbox.referee.judge' in __import__('sys').modules and 24\"\n"
    right, spy = judge.run("def f(xs): return '24'\n", problem), judge.run(hostile, problem)
    assert (right.outcome, right.way) == (Outcome.PASSED, "together")
    assert (spy.outcome, spy.way) == (Outcome.WRONG_ANSWER, "together")


def test_a_helper_that_a_problem_gives_is_looked_at_too(judge: Sandbox) -> None:
    prefix = 'def value(text):\n    return eval(text)\n\ndef f(xs):\n    """A game."""\n'
    solution = prefix + "    return '24'\n"
    case = ScriptCase("assert value(f([6, 4])) == 24")
    problem = Problem("game", "x", [case], "f", prefix=prefix, solutions=[solution])
    assert judge.run(solution, problem).way == "together"


def test_require_apart_refuses_a_script_that_runs_answers() -> None:
    problem = Problem("game", "x", [ScriptCase("assert eval(f(1)) == 24")], "f", solutions=["def f(x): return '24'\n"])
    with sandbox.load(workers=1, require_apart=True) as judge, pytest.raises(InvalidProblem, match="one process"):
        judge.run("def f(x): return '24'\n", problem)


@pytest.mark.parametrize("case", [CallCase((1,), "24"), StdinCase("1\n", "24\n")])
def test_a_checker_that_runs_answers_is_refused(judge: Sandbox, case: CallCase | StdinCase) -> None:
    checker = "def check(given, expected, got):\n    return eval(got) == 24\n"
    entry_point = "f" if isinstance(case, CallCase) else None
    problem = Problem("game", "x", [case], entry_point, meta={"checker": checker})
    with pytest.raises(InvalidProblem, match=r"line 2.*literal_eval"):
        judge.run("def f(x): return '24'\nprint('24')", problem)


def test_what_a_checker_runs_of_its_own_is_its_own_business() -> None:
    assert (
        place_in_checker(ast.parse("def check(given, expected, got):\n    return eval(given) == float(got)\n")) is None
    )
    assert place_in_checker(ast.parse("check = lambda given, expected, got: eval(got) == 1\n")) is not None
    assert (
        place_in_checker(ast.parse(codeforces._checker("print(open('solution_output.txt').read() == '1')\n", "x")))
        is None
    )
    assert (
        place_in_checker(ast.parse(codeforces._checker("print(eval(open('solution_output.txt').read()))\n", "x")))
        is not None
    )
