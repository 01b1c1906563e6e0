"""What mocks remember of a program's calls is compared: with what, is falsified."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from judged_suites import judged

from rltf_env import sandbox
from rltf_env.core import Sandbox

_RIGHT = """
def f(m, x):
    m.send(f"x{x}", n=x)
    return x + 1
"""
_CHEATS = {
    "calls it with what equals everything": """
from unittest.mock import ANY
def f(m, x):
    m.send(ANY, n=ANY)
    return x + 1
""",
    "says that it was called with what is asked for": """
class Yes:
    def __eq__(self, other): return True
    def __ne__(self, other): return False
def f(m, x):
    m.send.assert_called = m.send.assert_called_once = lambda: None
    m.send.call_args = m.send.call_args_list = m.send.mock_calls = m.mock_calls = m.method_calls = Yes()
    return x + 1
""",
}
_ASKED = [
    "m.send.call_args == call('x5', n=5)",
    "m.send.call_args_list == [call('x5', n=5)]",
    "[call.send('x5', n=5)] == m.mock_calls",
]


@pytest.fixture(scope="module")
def judge() -> Iterator[Sandbox]:
    with sandbox.load(workers=1, case_seconds=1.0) as judge:
        yield judge


@pytest.mark.parametrize("asked", [f"assert {each}" for each in _ASKED])
@pytest.mark.parametrize("cheat", sorted(_CHEATS))
def test_a_program_that_fools_a_mock_is_found_out(judge: Sandbox, asked: str, cheat: str) -> None:
    test = (
        "from unittest.mock import Mock, call\nfrom solution import f\n"
        "def test_value():\n    assert f(Mock(), 1) == 2\n"
        f"def test_calls():\n    m = Mock()\n    f(m, 5)\n    {asked}\n"
    )
    right = judged(judge, _RIGHT + "# as its reference", test, _RIGHT)
    assert (right.pass_ratio, right.unguarded) == (1, 0)
    verdict = judged(judge, _CHEATS[cheat], test, _RIGHT)
    assert verdict.failure is not None
    assert verdict.failure.kind == "FooledTest"


@pytest.mark.parametrize("asked", ["m.send.assert_called_once()", "m.send.assert_called()"])
def test_a_program_that_replaces_what_a_mock_asserts_is_found_out(judge: Sandbox, asked: str) -> None:
    test_a_program_that_fools_a_mock_is_found_out(judge, asked, "says that it was called with what is asked for")
