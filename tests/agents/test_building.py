"""From a recipe to its parts: where a pretrained model's programs end, and whether they fit."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from agents.building import check_room, with_stops
from agents.config import Eval, Recipe, Run, trained_with
from agents.decoding.sampling import Sampling
from agents.policies import shape
from rltf_env import prompts
from rltf_env.core import CallCase, Problem, StdinCase
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.sources import Cycle
from rltf_env.tokenizers import HuggingFace

FUNCTION = Problem("f", "Write f.", [CallCase((), 1)], "f")
PROGRAM = Problem("p", "Print 1.", [StdinCase("", "1")])


def recipe(policy: dict[str, Any], env: dict[str, Any] | None = None, **sampling: Any) -> Recipe:
    agent = {"kind": "grpo", **({"sampling": sampling} if sampling else {})}
    return Recipe(Run("x", 1), {"id": "RLTF-MBPP-v0", **(env or {})}, policy, agent, Eval())


def env_of(*problems: Problem) -> UnitTestEnv:
    return UnitTestEnv(list(problems), sandbox="scripted")


@pytest.mark.parametrize(
    ("problems", "expected"),
    [
        ([FUNCTION], prompts.FUNCTION_STOPS),
        ([PROGRAM], prompts.PROGRAM_STOPS),
        ([FUNCTION, PROGRAM], prompts.PROGRAM_STOPS),
    ],
)
def test_a_pretrained_model_that_continues_code_stops_as_is_customary(
    problems: list[Problem], expected: tuple[str, ...]
) -> None:
    made = with_stops(recipe({"kind": "causal", "path": "some/model"}, temperature=0.7), env_of(*problems))
    assert trained_with(made).stop == expected
    assert made.agent["sampling"]["temperature"] == 0.7


def test_stops_of_ones_own_a_chat_and_a_policy_that_starts_from_nothing_stay_as_they_are() -> None:
    base = {"kind": "causal", "path": "some/model"}
    for asked in (
        recipe(base, stop=[]),
        recipe(base, stop=["X"]),
        recipe({"kind": "tiny"}),
        recipe(base, {"prompt_style": "chat"}),
    ):
        assert with_stops(asked, env_of(FUNCTION)) is asked


def test_an_agent_that_writes_nothing_while_it_learns_is_evaluated_with_the_customary_stops() -> None:
    asked = replace(recipe({"kind": "causal", "path": "some/model"}), agent={"kind": "supervised", "batch_size": 2})
    made = with_stops(asked, env_of(FUNCTION))
    assert made.agent == asked.agent  # which has no setting for sampling
    assert made.eval.sampling.stop == prompts.FUNCTION_STOPS
    own = replace(asked, eval=Eval(sampling=Sampling(stop=("X",))))
    assert with_stops(own, env_of(FUNCTION)).eval.sampling.stop == ("X",)


@pytest.mark.parametrize("stop", [None, ["\nX"]])
def test_a_policy_that_a_run_has_trained_stops_as_it_did_there(tmp_path: Path, stop: list[str] | None) -> None:
    sampling = f"sampling = {{ stop = {stop!r} }}".replace("'", '"') if stop else ""
    (tmp_path / "recipe.toml").write_text(
        f'[run]\nupdates = 1\n[env]\nid = "RLTF-MBPP-v0"\n[policy]\nkind = "tiny"\n[agent]\nkind = "grpo"\n{sampling}\n'
    )
    made = with_stops(recipe({"kind": "causal", "path": str(tmp_path / "policy")}), env_of(FUNCTION))
    assert trained_with(made).stop == tuple(stop or ())


def test_room_is_measured_by_the_longest_prompt_that_there_is() -> None:
    config = {"model_type": "gpt2", "n_embd": 16, "n_layer": 1, "n_head": 2, "n_positions": 64, "vocab_size": 300}
    policy = shape.load(config=config, vocab_size=300, dataset_options={"size": 4})
    long = Problem("long", "x " * 40, [CallCase((), 1)], "f")

    def env(*problems: Problem) -> UnitTestEnv:
        return UnitTestEnv(
            list(problems), source=Cycle(list(problems)), sandbox="scripted", tokenizer=HuggingFace(policy.tokenizer),
            max_prompt_tokens=512, max_program_tokens=32,
        )  # fmt: skip

    check_room(policy, env(FUNCTION), [])
    for source, measured in ((long, []), (FUNCTION, [long])):
        with pytest.raises(
            UsageError, match=r"64 positions of GPT2LMHeadModel, got \d+ and 32 tokens\. Lower max_prompt_tokens"
        ):
            check_room(policy, env(source), measured)
