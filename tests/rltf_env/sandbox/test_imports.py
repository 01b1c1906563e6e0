"""Which of the modules that a test imports stand for the program."""

from __future__ import annotations

import pytest

from rltf_env import sandbox
from rltf_env.core import Problem, ScriptCase
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.referee.suite import read

CHECK = "def test_a():\n    assert f('aa') == {'a': floor(2.2)}\n"


@pytest.mark.parametrize("defined", [set(), {"f"}])
def test_a_module_from_which_a_test_takes_everything_is_the_program(defined: set[str]) -> None:
    test = f"from math import *\nfrom shop.till import *\n{CHECK}"
    assert read([test], "", defined, ["pytest"]).modules == ["shop.till"]


def test_a_module_from_which_a_test_takes_what_no_reference_has_is_a_package() -> None:
    suite = read([f"from sympy import *\n{CHECK}"], "", {"f"}, ["pytest"])
    assert (suite.modules, suite.missing) == ([], [("sympy", 1)])


NEEDED = {
    "a name that both import": "from no_such_package import NA, frame\ndef test_a():\n    assert frame(2) is NA\n",
    "nothing that a reference defines": "import no_such_package as nsp\ndef test_a():\n    assert nsp.frame(2)\n",
    "beside the program": "import no_such_package as nsp\nfrom solution import f\ndef test_a():\n    assert f(2)\n",
}


@pytest.mark.parametrize("name", NEEDED)
def test_a_module_that_the_references_import_is_not_the_program(name: str) -> None:
    program = "from no_such_package import NA\ndef f(n):\n    return NA\n"
    problem = Problem("suite", "s", [ScriptCase(NEEDED[name])], solutions=[program])
    with sandbox.load(workers=1) as judge, pytest.raises(InvalidProblem, match="packages=\\('no_such_package'"):
        judge.run(program, problem)
