"""What the tests of all adapters share: a problem, answers to it, and judges that tell a story or fail."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from rltf_env import datasets, sandbox
from rltf_env.adapters import judge
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import SandboxError

DOUBLE = Problem(
    "double", "Return twice x.", (CallCase((2,), 4), CallCase((3,), 6)), entry_point="f", examples=(CallCase((1,), 2),)
)
RIGHT = "Sure:\n```python\ndef f(x):\n    return 2 * x\n```\nDone."
HALF = "def f(x):\n    return 4"
RAISES = "Well.\n```python\ndef f(x):\n    return x[0]\n```\n"
JUDGES = """
from rltf_env import sandbox
from rltf_env.errors import SandboxError

def broken(**options):
    return sandbox.load("scripted", rules=lambda source, problem: SandboxError("no judge here"))
"""


def rule(source: str, problem: Problem) -> Any:
    """What a real judge says of the answers above, without running anything."""
    if "x[0]" in source:
        return Verdict((CaseResult(Outcome.RUNTIME_ERROR, Failure("TypeError", line=2)),) * len(problem.cases))
    return [case.expected in (4,) or "2 * x" in source for case in problem.cases]


def down(source: str, problem: Problem) -> Any:
    return SandboxError("the judge is down")


def made(rules: Callable[..., Any] = rule, reward: str = "coarse", **options: Any) -> UnitTestEnv:
    return UnitTestEnv([DOUBLE], reward=reward, sandbox=sandbox.load("scripted", rules=rules), **options)


@pytest.fixture(autouse=True)
def _closed() -> Iterator[None]:
    yield
    judge.close()


@pytest.fixture
def double(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The path of a file that holds the problem; `double_judges:broken` is then a judge that always fails."""
    datasets.dump([DOUBLE], tmp_path / "double.jsonl")
    (tmp_path / "double_judges.py").write_text(JUDGES)
    monkeypatch.syspath_prepend(str(tmp_path))
    return str(tmp_path / "double.jsonl")


@pytest.fixture
def world() -> SimpleNamespace:
    """The names of this file, for tests that can't import it."""
    return SimpleNamespace(
        problem=DOUBLE,
        right=RIGHT,
        half=HALF,
        raises=RAISES,
        rule=rule,
        down=down,
        made=made,
        broken="double_judges:broken",
    )
