"""The study of repairs: arms are runs that could begin and differ in their pairs alone; every way writes as many programs."""

from __future__ import annotations

import importlib
import json
from collections import Counter
from pathlib import Path
from types import SimpleNamespace
from typing import Any, ClassVar

import numpy as np
import pytest
import torch

from agents.critics.outcome import Critic
from agents.decoding.examples import bind_examples
from agents.decoding.sampling import Sampling
from agents.options import build
from agents.policies import tiny
from agents.repairs import RepairPair
from benchmarks.studies import repair
from benchmarks.studies.arms import MEASURES, Size, markdown, table
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Program, Verdict
from rltf_env.errors import UsageError


def test_every_arm_is_a_recipe_that_its_agent_takes_and_they_differ_in_their_pairs_alone(tmp_path: Path) -> None:
    rest: list[str] = []
    for id in repair.POLICIES:
        recipe = repair.recipe(id, tmp_path, 3, Size())
        options = dict(recipe.agent)
        module = importlib.import_module(f"agents.algorithms.{options.pop('kind')}")
        config = build(module.Config, options, "agent")
        references = dict(config.references)
        folder = references.pop("repairs", "")
        assert folder == ("" if id == "none" else str(tmp_path / "seed-3" / id))
        assert references.pop("repair_share", 0.5) == 0.5
        assert references == repair.warm(tmp_path, 3).agent["references"] == {"size": 300, "depths": [1, 2]}
        assert (recipe.run.seed, recipe.run.updates, config.optimiser.length) == (3, 480, 480)
        assert recipe.policy["path"] == str(tmp_path / "seed-3" / "warm" / "policy")
        assert recipe.env["max_prompt_tokens"] == 384
        rest.append(json.dumps({**recipe.to_dict(), "run": None, "agent": {**options, "references": None}}))
    assert len(set(rest)) == 1
    assert repair.matcher(tmp_path, 3).agent["references"] == {"size": 300, "depths": [1, 2]}


def test_shuffled_pairs_are_the_same_words_and_targets_with_programs_of_other_problems() -> None:
    pairs = [
        RepairPair(f"p{i % 5}", f"wrong {i % 5}/{i}\n", f"report {i % 5}", f"right {i % 5}/{i}\n") for i in range(20)
    ]
    moved = repair.shuffled(pairs)
    assert Counter(p.program for p in moved) == Counter(p.program for p in pairs)
    assert {(p.problem, p.success) for p in moved} == {(p.problem, p.success) for p in pairs}
    for pair in moved:
        other = pair.program.split()[1].split("/")[0]
        assert pair.problem != f"p{other}"
        assert pair.report == f"report {other}", "a program keeps its own report"
    with pytest.raises(UsageError, match="of a single one"):
        repair.shuffled(pairs[:1])


class Counting(Sampling):
    """Counts the programs that it writes."""

    written: ClassVar[Counter[str]] = Counter()

    def __call__(self, policy: Any, prompts: Any, given: Any, *, repeats: int = 1, **options: Any) -> Any:
        self.written["programs"] += repeats * len(prompts)
        return super().__call__(policy, prompts, given, repeats=repeats, **options)


@pytest.mark.parametrize("way", repair.WAYS)
def test_every_way_writes_as_many_programs_for_the_one_that_it_hands_in(
    way: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted where tokens are drawn, for a problem whose drafts pass and one whose drafts do not."""
    policy = tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4})
    monkeypatch.setattr(repair.LineRank, "values", lambda self, prompt, group: [0.0] * len(group))
    matcher = SimpleNamespace(policy=policy, odds=lambda samples: np.zeros(len(samples)))
    judges: Any = SimpleNamespace(
        critic=Critic(policy, classes=2), lines=SimpleNamespace(policy=policy), matcher=matcher
    )
    problems = [Problem(id, f"Do {id}.", [CallCase((), 1)], "f", [CallCase((), 1)]) for id in ("good", "bad")]
    results = {"good": CaseResult(Outcome.PASSED), "bad": CaseResult(Outcome.WRONG_ANSWER, Failure("x"))}
    prompts = [np.array(policy.tokenizer.encode(p.statement), np.int64) for p in problems]
    decode = bind_examples(
        repair.WAYS[way](judges, Counting()),
        problems,
        lambda p: np.array(policy.tokenizer.encode(p.statement), np.int64),
        lambda p, c: Program(c.tokens, "x", np.zeros(len(c.tokens), np.int64)),
        lambda pairs: [Verdict((results[p.id],)) for p, _ in pairs],
    )
    Counting.written.clear()
    groups = decode(
        policy, prompts, [np.zeros(0, np.int64)] * 2, repeats=repair.N if way == "plain" else 1, max_tokens=6,
        generator=torch.Generator().manual_seed(0),
    )  # fmt: skip
    assert Counting.written["programs"] == 2 * repair.N
    assert [len(group) for group in groups] == [8 if way == "plain" else 1] * 2


def test_all_arms_are_measured_and_compared_in_the_table() -> None:
    rng = np.random.default_rng(0)
    evaluations = {
        m: {
            id: {"samples": 1, "passed": (rng.random(40) < 0.3 + 0.4 * (id == "pairs/repair")).astype(int).tolist()}
            for id in repair.STUDY.arms
        }
        for m in MEASURES
    }
    text = markdown(table(repair.STUDY, {0: evaluations, 1: evaluations}), repair.TITLES)
    assert "| pairs, repair |" in text
    assert "(pairs, repair) - (pairs of other problems, repair)" in text
    assert repair.STUDY.prediction.startswith("without pairs `repair` is below `best`")
    assert {id for pair in repair.STUDY.compared for id in pair} <= set(repair.STUDY.arms)
