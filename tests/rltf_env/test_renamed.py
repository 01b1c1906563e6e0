"""Old names still work, and say the new one."""

from __future__ import annotations

import pickle
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest

from rltf_env import core, prompts
from rltf_env._renamed import renamed_arguments, renamed_fields
from rltf_env.core import CaseResult, FailureKind, Feedback, Outcome, Problem, Program, StdinCase, Verdict
from rltf_env.sandbox.scripted import ScriptedSandbox

PASSED = CaseResult(Outcome.PASSED)
TOKENS = np.arange(3)


@renamed_fields(weight="mass")
@dataclass(frozen=True)
class Body:
    mass: float
    name: str = ""


def test_a_dataclass_is_built_and_read_by_the_old_names_of_its_fields() -> None:
    with pytest.warns(DeprecationWarning, match=r"^Body\.weight is now Body\.mass\.$") as caught:
        body: Any = Body(weight=2.0)  # type: ignore[call-arg]
    assert caught[0].filename == __file__, "the warning points at the caller"
    assert body == Body(2.0)
    with pytest.warns(DeprecationWarning, match=r"^Body\.weight is now Body\.mass\.$"):
        assert body.weight == 2.0


def test_what_was_pickled_under_the_old_names_is_read_under_the_new_ones() -> None:
    body = Body(2.0, "moon")
    body.__dict__["weight"] = body.__dict__.pop("mass")  # as an earlier version had it
    assert pickle.loads(pickle.dumps(body)) == Body(2.0, "moon")


def test_a_function_is_called_by_the_old_names_of_its_arguments() -> None:
    @renamed_arguments(how="reduction")
    def loss(values: list[float], *, reduction: str = "mean") -> str:
        return reduction

    assert loss([], reduction="sum") == "sum"
    with pytest.warns(DeprecationWarning, match=r"loss\(how=\) is now .*loss\(reduction=\)\.$"):
        assert loss([], how="sum") == "sum"  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("read", "new"),
    [
        (lambda: core.Kind, FailureKind),
        (lambda: Program(TOKENS, "abc", TOKENS, given=1).prefix_length, 1),
        (lambda: Program(TOKENS, "abc", TOKENS, 1).given, 1),
        (lambda: Program(TOKENS, "abc", TOKENS, 1).chosen.tolist(), [False, True, True]),
        (lambda: replace(Program(TOKENS, "abc", TOKENS), given=2).prefix_length, 2),
        (lambda: Verdict((PASSED,), judge="me").judged_by, "me"),
        (lambda: Verdict((PASSED,), judged_by="me").judge, "me"),
        (lambda: Feedback.build(Program(TOKENS, "abc", TOKENS), "x", sequence=1.0).program_reward, 1.0),
        (lambda: Feedback.build(Program(TOKENS, "abc", TOKENS), "x", program_reward=1.0).sequence, 1.0),
        (lambda: Feedback.build(Program(TOKENS, "abc", TOKENS), "x").learn.tolist(), [True] * 3),
        (lambda: ScriptedSandbox({}, Outcome.PASSED).seen, []),
        (lambda: prompts.shown(Problem("p", "", (StdinCase("", ""),))), []),
    ],
)
def test_old_public_names_give_what_the_new_ones_do(read: Any, new: Any) -> None:
    with pytest.warns(DeprecationWarning, match=r" is now "):
        assert read() == new
