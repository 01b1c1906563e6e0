"""The study of token credit in TRL: advantages worked by hand, arms alike in all but the credit, what is done stays done."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("trl", reason="needs TRL: pip install 'rltf[thirdparty]'")

import torch
from rich.console import Console

from agents.building import make_env
from agents.config import Recipe
from agents.policies import causal, tiny
from benchmarks.studies import token_credit as study
from benchmarks.studies.arms import Size
from rltf_env import rewards, sandbox
from rltf_env.core import Attempt, CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.errors import UsageError
from rltf_env.tokenizers import load as tokenizer_of

PROBLEM, BYTES = Problem("double", "Twice x.", (CallCase((2,), 4),), entry_point="f"), tokenizer_of("bytes")
LEARNING = [id for id in study.STUDY.arms if id != "warm"]


def verdict(kind: str, line: int | None, outcome: Outcome = Outcome.RUNTIME_ERROR) -> Verdict:
    return Verdict((CaseResult(outcome, Failure(kind, line=line, bases=("Exception",))),))


ON_LINE_2 = verdict("NameError", 2)


@pytest.fixture(scope="module")
def policy() -> Iterator[Any]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 16})
    torch.set_num_threads(before)


def recipe(id: str, out: Path, rule: Any, tokens: int = 8) -> Recipe:
    """An arm of two updates, judged by a rule."""
    made = study.recipe(id, out, 0, Size(8))
    judge = sandbox.load("scripted", rules=lambda source, problem: rule(source))
    env = {**made.env, "sandbox": judge, "sandbox_options": {}, "max_prompt_tokens": 512, "max_program_tokens": tokens}
    return replace(made, run=replace(made.run, updates=2), env=env)


# ----------------------------------------------------------------------------------------- advantages


def test_advantages_are_those_worked_by_hand(policy: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A group of 8: one raises on its second line (-0.6), one passes (1), six are wrong (-0.3).

    Mean -0.175; squared distances 0.180625 + 1.380625 + 6 * 0.015625 = 1.655, a seventh of it 0.2364286; its root
    0.4862392 + 0.0001.
    """
    one = {text: policy.tokenizer.encode(text, add_special_tokens=False) for text in "ab\n"}
    assert all(len(ids) == 1 for ids in one.values())
    (a,), (b,), (end,) = one["a"], one["b"], one["\n"]
    eos = policy.tokenizer.eos_token_id
    raises, passes, wrong = [a, end, b, eos], [b, eos], [a, a, a]
    asked: list[list[int]] = []

    def written(self: Any, prompts: list[list[int]], *_: Any, **__: Any) -> Any:
        asked.extend(prompts)
        return [raises, passes, *[wrong] * 6], None

    answers = {"a\nb": ON_LINE_2, "b": Outcome.PASSED, "aaa": Outcome.WRONG_ANSWER}
    made = recipe("token", tmp_path, answers.__getitem__)
    with make_env(made, policy) as env, study._silent():
        trainer = study.make_trainer(made, policy, env, str(tmp_path))
        monkeypatch.setattr(type(trainer), "_generate_single_turn", written)
        row = dict(trainer.train_dataset[0])
        output = trainer._generate_and_score_completions([row] * 8)
        prompt = env.encode_prompt(env.source.find(row["problem"])).tolist()
    assert asked == [prompt] * 8, "TRL's prompts are those of our own agents"
    low, high, middle = -0.425 / 0.4863392, 1.175 / 0.4863392, -0.125 / 0.4863392
    expected = [[low, low, low - 0.3, low], [high, high, 0, 0], *[[middle, middle, middle, 0]] * 6]
    assert np.allclose(output["advantages"].numpy(), expected, atol=1e-5)


def charged(text: str, found: Verdict, shuffled: int | None = None) -> Any:
    return study.Lines(shuffled=shuffled)(attempt(text, found))


def attempt(text: str, found: Verdict) -> Attempt:
    return Attempt(PROBLEM, BYTES.program(BYTES.encode(text)), found)


def test_a_line_that_raised_pays_and_a_program_as_a_whole_does_not() -> None:
    assert charged("ab\ncd\n", ON_LINE_2).token_rewards.tolist() == pytest.approx([0, 0, 0, -0.3, -0.3, 0])
    whole = verdict("Timeout", None)
    assert rewards.load("fine")(attempt("ab\n", whole)).total == pytest.approx(-0.3)
    assert charged("ab\n", whole).total == charged("ab\n", whole).program_reward == 0
    assert not charged("ab\n", Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer")),))).rewards.any()


def test_a_shuffled_charge_is_as_much_on_any_line_with_code() -> None:
    text = "ab\n\ncdef\n  g\n"
    places = [[0, 1], [4, 5, 6, 7], [9, 10, 11]]
    counts = [0, 0, 0]
    for seed in range(120):
        feedback = charged(text, verdict("NameError", 1), seed)
        where = np.flatnonzero(feedback.token_rewards).tolist()
        counts[places.index(where)] += 1
        assert feedback.token_rewards.sum() == pytest.approx(-0.6)
        assert feedback.total == pytest.approx(-0.3)
        assert feedback.program_reward == 0
    assert min(counts) > 20, "the guilty line is as likely as any"
    assert charged(text, verdict("NameError", 1), 3) == charged(text, verdict("NameError", 1), 3)


# ------------------------------------------------------------------------------------------- learning


def test_arms_have_equal_programs_and_only_credit_moves_a_policy_whose_programs_all_fail_alike(
    policy: Any, tmp_path: Path
) -> None:
    policy.save(tmp_path / "seed-0" / "warm" / "policy")
    start = {name: weight.clone() for name, weight in policy.model.state_dict().items()}
    moves, judged, asked = {}, {}, {}
    for id in ("scalar", "token"):  # the third is the second with other options of its reward
        made = recipe(id, tmp_path, lambda source: verdict("SyntaxError", 1, Outcome.SYNTAX_ERROR))
        out = StringIO()
        report = study.learn(made, Console(file=out, width=80))
        requests = made.env["sandbox"].requests
        judged[id], asked[id] = requests[:64], [problem.id for _, problem in requests]
        assert len(requests) == study.summary(report)["programs"] == 128
        assert max(map(len, out.getvalue().splitlines())) <= 80
        after = causal.load(str(tmp_path / "seed-0" / id / "policy")).model.state_dict()
        moves[id] = max(float((after[name] - weight).abs().max()) for name, weight in start.items())
    assert judged["scalar"] == judged["token"], "the first programs are the same"
    assert asked["scalar"] == asked["token"]
    assert len(set(asked["token"])) == 16
    assert moves["scalar"] < 1e-6 < 5e-6 < moves["token"]


def test_what_has_learnt_is_not_trained_again_and_other_settings_are_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = study.recipe("token", tmp_path, 0, Size(8))
    settings = {**study.SETTINGS, "updates": 8, "seed": 0, "reward": made.env["reward"]}
    path = Path(made.run.out) / "learned.json"
    path.parent.mkdir(parents=True)
    path.write_text(json.dumps({"settings": settings, "seconds": 1.0, "log": []}))
    monkeypatch.setattr(study, "make_policy", lambda recipe: pytest.fail("trained again"))
    assert study.learn(made, Console())["seconds"] == 1.0
    with pytest.raises(UsageError, match=r"Expected \{'updates': 8\}, as .* got \{'updates': 9\}"):
        study.learn(study.recipe("token", tmp_path, 0, Size(9)), Console())


def test_a_seed_that_is_done_is_read_and_only_the_arms_that_were_asked_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []
    done = {"seconds": 60.0, "log": [{"reward": 0.5}]}

    def train(made: Recipe, console: Any) -> dict[str, Any]:
        trained.append(Path(made.run.out).name)
        return {"updates": 0, "evaluations": {"0": {"passed": [1]}}}

    monkeypatch.setattr(study, "train", train)
    monkeypatch.setattr(study, "learn", lambda made, console: trained.append(Path(made.run.out).name) or done)
    some = study.STUDY.only(["token"])
    for _ in range(2):
        result = study.run(tmp_path, 4, Console(file=StringIO()), Size(8), some)
        assert result["evaluations"] == {measure: {"token": {"passed": [1]}} for measure in study.MEASURES}
    assert trained == ["warm", "token", "token-seen", "token-unseen", "warm", "token"]


def test_arms_differ_in_the_reward_alone(tmp_path: Path) -> None:
    recipes = {id: study.recipe(id, tmp_path, 3, Size(8)) for id in LEARNING}
    without = [{k: v for k, v in made.env.items() if not k.startswith("reward")} for made in recipes.values()]
    assert without[0] == without[1] == without[2]
    assert recipes["scalar"].env["reward"] == "coarse"
    assert recipes["token"].env["reward"] == recipes["shuffled"].env["reward"]
    assert recipes["shuffled"].env["reward_options"] == {"benchmarks.studies.token_credit:lines": {"shuffled": 3}}
    assert {id for pair in study.STUDY.compared for id in pair} == set(study.STUDY.arms)
    for made in recipes.values():
        assert made.policy["path"] == str(tmp_path / "seed-3" / "warm" / "policy")
        rewards.load(made.env["reward"], **made.env["reward_options"])


# -------------------------------------------------------------------------------------------- figures


def test_figures_are_plain_data_and_written_out() -> None:
    log = [{"reward": r, "completions/mean_length": 30, "frac_reward_zero_std": 0.5} for r in (-1.0, *[0.0] * 6, 0.5)]
    learned = {id: study.summary({"seconds": 60.0, "log": log}) for id in LEARNING}
    assert learned["token"]["reward_first"] == -1.0
    assert learned["token"]["reward_last"] == 0.5
    ends = {"SYNTAX_ERROR": 1, "RUNTIME_ERROR": 1, "WRONG_ANSWER": 1, "PASSED": 1}
    evaluation = {"samples": 2, "passed": [2, 0], "outcomes": ends}
    result = {
        "evaluations": {m: dict.fromkeys(study.STUDY.arms, evaluation) for m in study.MEASURES},
        "learned": learned,
    }
    figures = study.figures({0: result, 1: result})
    assert json.loads(json.dumps(figures)) == figures
    assert figures["versions"]["trl"]
    text = study.in_words(figures)
    assert "| + the line that raised | 25.0% | 25.0% | 25.0% | 25.0% |" in text
    assert "| 1 | + a line at random | 60 | 512 | 30 | -1 | 0.5 | 0.5 | 0 |" in text
