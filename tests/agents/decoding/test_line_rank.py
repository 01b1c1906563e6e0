"""Best of n by lines: which program is handed in, that no test is looked at, and where a line ends in a completion."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.core import Completion
from agents.critics.line_model import LineModel, Wording
from agents.decoding import line_rank
from agents.decoding.line_rank import LineRank
from agents.decoding.sampling import Sampling
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.rollout import collect
from rltf_env.core import FloatArray
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UnknownName, UsageError

PROMPT = np.array([40, 41])


@pytest.fixture
def model(policy: CausalPolicy) -> LineModel:
    made = LineModel(policy, Wording(style="statement"))
    with torch.no_grad():
        made.head.weight.normal_(0, 0.05, generator=torch.Generator().manual_seed(0))
    return made


class Scripted(LineModel):
    """A line model that scores each token by a table of ids."""

    table: dict[int, float]

    def scores(self, samples: Any) -> list[FloatArray]:
        return [np.array([self.table.get(int(t), 0.0) for t in s.tokens], np.float32) for s in samples]


def completion(policy: CausalPolicy, text: str, logprob: float = -1.0, given: int = 0, **more: Any) -> Completion:
    tokens = np.array([*policy.tokenizer.encode(text), policy.eos_id])
    row = np.full(len(tokens), logprob, np.float32)
    return Completion(tokens, row, row, given, False, **more)


@pytest.fixture
def scripted(policy: CausalPolicy) -> Scripted:
    """Lines that end in `a`, `b`, ... are worth 0.9, 0.5, -0.5, -0.9; texts here have a line end only between lines."""
    made = Scripted(policy)
    ids = [policy.tokenizer.encode(letter)[0] for letter in "abcd"]
    made.table = dict(zip(ids, (0.9, 0.5, -0.5, -0.9), strict=True))
    made.table |= {policy.tokenizer.encode("\n")[0]: 0.7}
    return made


def test_lines_are_scored_at_their_ends(scripted: Scripted, policy: CausalPolicy) -> None:
    group = [completion(policy, text) for text in ("a", "a\nb", "x\nc", "a\n", "")]
    by = {by: LineRank(scripted, by=by).values(PROMPT, group) for by in line_rank.BY}
    expected = {"min": [0.9, 0.5, -0.5, 0.7], "mean": [0.9, 0.6, 0.1, 0.7], "last": [0.9, 0.5, -0.5, 0.7]}
    for name, values in expected.items():
        np.testing.assert_allclose(by[name][:4], values, atol=1e-6)
        assert by[name][4] == -np.inf, "a program without lines goes last"


def test_the_best_worst_line_wins_and_of_equals_the_likelier_program(scripted: Scripted, policy: CausalPolicy) -> None:
    group = [
        completion(policy, "x\nc"),
        completion(policy, "b", -3.0),
        completion(policy, "b", -2.0),
        completion(policy, "b", -2.0),
    ]
    assert LineRank(scripted).best(PROMPT, group) is group[2]
    assert LineRank(scripted, by="mean").best(PROMPT, [completion(policy, "d"), group[0]]) is group[0]


def test_lines_that_were_given_and_what_a_stop_string_cuts_off_do_not_count(
    scripted: Scripted, policy: CausalPolicy
) -> None:
    given = len(policy.tokenizer.encode("d\n"))
    cut = completion(policy, "b\nd", kept=1)
    rank = LineRank(scripted, by="mean")
    np.testing.assert_allclose(rank.values(PROMPT, [completion(policy, "d\nb", given=given), cut]), [0.5, 0.5])


def test_n_programs_are_written_for_each_one_that_is_handed_in_and_no_test_is_looked_at(
    model: LineModel, policy: CausalPolicy, make_env: Callable[..., UnitTestEnv]
) -> None:
    env = make_env()
    problems = [env.source.find("p0"), env.source.find("given")]
    told: list[Any] = []

    def written(decoder: Any, repeats: int) -> list[list[Any]]:
        generator = torch.Generator().manual_seed(0)
        groups = collect(policy, env, problems, decoder, repeats=repeats, generator=generator)
        return [[e.program for e in group] for group in groups]

    chosen, drawn = written(LineRank(model, n=4), 2), written(Sampling(), 8)
    told = env.sandbox.requests  # type: ignore[attr-defined]
    assert len(told) == 2 * 2 + 2 * 8, "only what is handed in is judged"
    for few, many in zip(chosen, drawn, strict=True):
        assert few[0] in many[:4]
        assert few[1] in many[4:]
    assert written(LineRank(model, n=1), 3) == [group[:3] for group in written(Sampling(), 3)]


def test_another_vocabulary_and_impossible_options_are_refused(
    model: LineModel, policy: CausalPolicy, tmp_path: Path
) -> None:
    other = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 20})
    with pytest.raises(UsageError, match="the policy's tokenizer"):
        LineRank(model)(other, [PROMPT], [PROMPT[:0]], repeats=1, max_tokens=4, generator=torch.Generator())
    with pytest.raises(UsageError, match="n >= 1"):
        LineRank(model, n=0)
    with pytest.raises(UnknownName, match="value of by"):
        LineRank(model, by="median")
    with pytest.raises(MissingData, match="train_line_model"):
        line_rank.load(str(tmp_path))
    model.save(tmp_path)
    loaded = line_rank.load(str(tmp_path), n=3, by="last", temperature=0.5)
    assert (loaded.n, loaded.by, loaded.sampling.temperature) == (3, "last", 0.5)
