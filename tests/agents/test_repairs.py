"""Repair pairs as references: asked as the decoder asks, drawn in their share by every agent, never of what is measured."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from agents import repairs, training
from agents.algorithms import rltf, soft_q, supervised
from agents.config import read as read_recipe
from agents.decoding import critic_sampling
from agents.policies.causal import CausalPolicy
from agents.repairs import RepairPair
from rltf_env import prompts
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import DataError, MissingData, UsageError

MakeEnv = Callable[..., UnitTestEnv]
WRONG, RIGHT = "def f():\n    return 1\n", "def f():\n    return 2\n"
SMALL: dict[str, Any] = {"buffer": 8, "fill": 4, "refresh": 4, "samples_per_problem": 2, "batch_size": 4}


def problem(id: str, statement: str = "", **options: Any) -> Problem:
    references = options.pop("solutions", ["f = lambda: 2\n", "f = lambda: 1 + 1\n"])
    return Problem(id, statement or f"Give {id}.", [CallCase((), 2)], "f", [CallCase((), 2)], references, **options)


def write(folder: Path, *pairs: RepairPair, chunks: int = 1) -> Path:
    folder.mkdir(exist_ok=True)
    (folder / repairs.ABOUT).write_text(json.dumps({"chunks": chunks}) + "\n")
    line = {"chunk": 0, "counts": {}, "pairs": [pair.to_dict() for pair in pairs]}
    (folder / repairs.PAIRS).write_text(json.dumps(line) + "\n")
    return folder


@pytest.fixture
def env(make_env: MakeEnv) -> UnitTestEnv:
    return make_env(problems=[problem("a"), problem("b")], max_prompt_tokens=400, max_program_tokens=40)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return write(tmp_path / "repairs", RepairPair("a", WRONG, "f() == 2\n-> WrongAnswer\n", RIGHT))


def drawn(env: UnitTestEnv, options: dict[str, Any], count: int = 8) -> list[Any]:
    source = supervised.reference_source(env, options)
    return supervised.draw_references(env, source, np.random.default_rng(0), count)


def test_a_pair_is_asked_with_the_very_tokens_that_the_decoder_asks_with(env: UnitTestEnv, tmp_path: Path) -> None:
    verdict = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer", "expected 2, got 1", 2)),))
    asked = critic_sampling._repair_prompt(
        SimpleNamespace(encode=env.encode_prompt),  # type: ignore[arg-type]
        env.source.find("a"),
        WRONG,
        verdict,
        400,
    )
    pair = RepairPair("a", WRONG, prompts.report(env.source.find("a"), verdict, verdict), RIGHT)
    ((_, sample),) = drawn(env, {"repairs": write(tmp_path / "made", pair), "repair_share": 1.0}, 1)
    np.testing.assert_array_equal(sample.prompt, asked)
    assert env.tokenizer.program(sample.tokens).text == RIGHT
    assert sample.tokens[-1] == env.tokenizer.eos_id


def test_without_a_success_the_references_are_the_target(env: UnitTestEnv, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", RepairPair("a", WRONG, "Wrong.\n"))
    texts = {env.tokenizer.program(s.tokens).text for _, s in drawn(env, {"repairs": folder, "repair_share": 1.0}, 20)}
    assert texts == {"f = lambda: 2\n", "f = lambda: 1 + 1\n"}


@pytest.mark.parametrize("module", [supervised, rltf, soft_q])
def test_every_agent_that_reads_references_takes_pairs(
    policy: CausalPolicy, env: UnitTestEnv, folder: Path, module: Any
) -> None:
    options = {"batch_size": 4} if module is supervised else dict(SMALL)
    more = {"offline": 0.5} if module is soft_q else {}
    agent = module.load(
        policy, env, seed=0, references={"repairs": str(folder), "repair_share": 1.0}, **options, **more
    )
    if module is soft_q:
        samples = agent._references(4)
    else:
        samples = supervised.draw_pairs(env, agent.references, np.random.default_rng(0), 4)
    assert {"Program 1 of 2" in env.tokenizer.program(s.prompt).text for s in samples} == {True}


def test_pairs_stand_in_their_share_of_draws_beside_the_references_that_options_pick(
    policy: CausalPolicy, make_env: MakeEnv, env: UnitTestEnv, folder: Path
) -> None:
    ids = [p.statement.count("Program 1 of 2") for p, _ in drawn(env, {"repairs": folder, "repair_share": 0.25}, 400)]
    assert np.mean(ids) == pytest.approx(0.25, abs=0.06)
    assert np.mean([p.statement.count("Program 1") for p, _ in drawn(env, {"repairs": folder}, 400)]) > 0.4
    source = supervised.reference_source(env, {"repairs": folder})
    assert source.find("a").statement == "Give a.", "what is found is the whole problem"


def test_what_does_not_fit_or_is_not_spelled_is_no_pair(policy: CausalPolicy, env: UnitTestEnv, tmp_path: Path) -> None:
    long, reply = "def f():\n" + "    x = 1\n" * 40, "Wrong.\n"
    pairs = [
        RepairPair("a", WRONG, reply, long),  # a target beyond the limit
        RepairPair("a", WRONG, reply, f"f = '{policy.tokenizer.eos_token}'\n"),  # or that spells the end token
        RepairPair("a", WRONG, "Wrong. " * 400, RIGHT),  # a report that leaves no room
        RepairPair("b", long * 9, reply, RIGHT),  # loses its last lines
    ]
    source = supervised.reference_source(env, {"repairs": write(tmp_path / "some", *pairs)})
    assert isinstance(source, repairs.RepairSource)
    assert [p.id for p in source.problems] == ["b"]
    assert len(env.encode_prompt(source.problems[0])) <= env.max_prompt_tokens
    with pytest.raises(UsageError, match="got none of 3"):
        supervised.reference_source(env, {"repairs": write(tmp_path / "none", *pairs[:3])})


@pytest.mark.parametrize("share", [0, 1.5, True, "half"])
def test_an_impossible_share_is_refused(env: UnitTestEnv, folder: Path, share: Any) -> None:
    with pytest.raises(UsageError, match=r"repair_share in \(0, 1\]"):
        supervised.reference_source(env, {"repairs": folder, "repair_share": share})


def test_what_pairs_cannot_be_made_of_says_so(env: UnitTestEnv, folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="a folder of repair pairs"):
        supervised.reference_source(env, {"repair_share": 0.5})
    with pytest.raises(MissingData, match="got none"):
        supervised.reference_source(env, {"repairs": tmp_path / "nowhere"})
    with pytest.raises(MissingData, match="got some of them"):
        supervised.reference_source(env, {"repairs": write(tmp_path / "half", RepairPair("a", WRONG, "x"), chunks=2)})
    env.prompt_style = "examples"
    with pytest.raises(UsageError, match="a problem's statement"):
        supervised.reference_source(env, {"repairs": folder})


def test_a_pair_of_a_problem_that_is_not_trained_on_is_refused(env: UnitTestEnv, tmp_path: Path) -> None:
    folder = write(tmp_path / "made", RepairPair("a", WRONG, "x"), RepairPair("test/1", WRONG, "x", RIGHT))
    with pytest.raises(DataError, match=r"got one of 'test/1', which it does not train on"):
        supervised.reference_source(env, {"repairs": folder})


def test_a_pair_of_a_problem_that_is_measured_on_is_refused_under_any_id(env: UnitTestEnv, folder: Path) -> None:
    source = supervised.reference_source(env, {"repairs": folder})
    repairs.check_held_out(source, env, [problem("b"), problem("c")])
    repairs.check_held_out(env.source, env, [problem("a")])
    for measured in (problem("a", "Told otherwise."), problem("other", "Give  a.")):
        with pytest.raises(DataError, match="got pairs of 1 that it does, such as 'a'"):
            repairs.check_held_out(source, env, [measured])


def test_a_run_does_not_learn_pairs_of_what_it_measures(tmp_path: Path) -> None:
    from rltf_env import datasets

    (first, *_) = datasets.load("procedural", "train", size=3, depths=[1])
    folder = write(tmp_path / "made", RepairPair(first.id, WRONG, "Wrong.\n"))
    recipe = tmp_path / "little.toml"
    recipe.write_text(
        f"""
[run]
updates = 1
out = "{tmp_path / "run"}"
[env]
id = "RLTF-Procedural-v0"
prompt_style = "statement"
dataset_options = {{ depths = [1] }}
sandbox = "scripted"
[policy]
kind = "tiny"
width = 16
layers = 1
heads = 2
vocab_size = 280
dataset_options = {{ size = 4 }}
[agent]
kind = "supervised"
batch_size = 2
references = {{ repairs = "{folder}" }}
[eval]
split = "train"
size = 3
options = {{ size = 3, depths = [1] }}
"""
    )
    with pytest.raises(DataError, match=r"that \[eval\] does not measure on"):
        training.train(read_recipe(recipe))
    made = read_recipe(recipe, ["eval.split=seen", "eval.options={ size = 3, depths = [2] }"])
    assert training.train(replace(made, run=replace(made.run, out=str(tmp_path / "other"))))["updates"] == 1
