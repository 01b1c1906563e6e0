"""Which scripts set something that a program in the same process could find, and what star imports bring to a script."""

from __future__ import annotations

import ast

import pytest

from rltf_env.sandbox.referee import stars, suite
from rltf_env.sandbox.referee.settings import sets_for_all

SETTING = (
    "import sys\nsys.setrecursionlimit(9)",
    "from sys import setrecursionlimit as s\ns(9)",
    "from sys import *\nsetrecursionlimit(9)",
    "import decimal as d\nd.getcontext().prec = 5",
    "from decimal import *\nwith localcontext() as c: c.prec = 5",
    "import random\nrandom.randint = lambda a, b: 4",
    "import time\nsetattr(time, 'time', f)",
    "import os\nos.environ['A'] = 'b'",
    "import os\ndel os.environ['A']",
    "import sys\nsys.argv[1:] = ['x']",
    "import os.path\nos.path.exists = f",
    "from unittest.mock import patch\nwith patch('time.time'): f()",
    "from unittest import mock\nmock.patch.object(a, 'b')",
)


READING = (
    "import sys\nsys.getrecursionlimit()",
    "import random\nrandom.seed(3)",
    "from decimal import Decimal\nassert f() == Decimal(1)",
    "import math\nxs = [math.pi]\nxs[0] = 1",
    "import numpy as np\na = np.zeros(3)\na[0] = 1",
    "class A: pass\nA.x = 1",
    "open('x').read()",
    "from types import SimpleNamespace\nx = SimpleNamespace()\nx.a = 1",
    "open('x', 'w')",
    "import tempfile\ntempfile.mkdtemp()",
    "fs.mkdir('/a')",
    "import os\nos.getcwd()",
)


def sets(script: str) -> bool:
    return sets_for_all(ast.walk(ast.parse(script)))


@pytest.mark.parametrize("script", SETTING)
def test_what_is_set_for_the_whole_process_is_found(script: str) -> None:
    assert sets(script)


@pytest.mark.parametrize("script", READING)
def test_what_is_only_read_or_is_the_scripts_own_is_not(script: str) -> None:
    assert not sets(script)


def test_what_a_star_brings_is_no_name_of_the_programs() -> None:
    nodes = [*ast.walk(ast.parse("from math import *\nfrom random import *\nfrom no_such_module import *"))]
    assert {"sqrt", "randint"} <= stars.brought(nodes)
    text = "from random import *\nx = randint(1, 5)\nassert f(x) == g(x) and choice([1])"
    assert suite.read([text], "f", {"choice"}, ()).bare == ["choice", "f", "g"]
