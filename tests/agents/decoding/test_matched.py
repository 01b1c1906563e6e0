"""Reranking by a match: what the rule likes best is handed in, and nothing is looked at but prompt and program."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.core import Completion, Decoder
from agents.critics.matcher import Matcher
from agents.decoding import matched
from agents.decoding._choosing import likelihood
from agents.decoding.matched import Matched
from agents.decoding.sampling import Sampling
from agents.policies import pair_heads, tiny, tiny_seq2seq
from agents.policies.pair_heads import plain_sample
from rltf_env.errors import UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
PROMPTS = [np.array([40, 50, 60]), np.array([70])]
NONE = [np.array([], np.int64)] * 2


def taught() -> Matcher:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    heads = pair_heads.on(policy, 8)
    with torch.no_grad():
        heads.match.weight.copy_(torch.arange(32.0).reshape(2, 16).sin())
    return Matcher(policy, heads, rows=3)


def written(decoder: Any, policy: Any, **options: Any) -> list[list[Completion]]:
    generator = torch.Generator()
    generator.manual_seed(0)
    return decoder(policy, PROMPTS, NONE, max_tokens=8, generator=generator, **options)


def test_the_best_match_of_each_lot_is_handed_in() -> None:
    """Two programs of four each: the drawn ones are those of plain sampling, and no other of a lot matches better."""
    matcher = taught()
    decoder = Matched(matcher, n=4)
    assert isinstance(decoder, Decoder)
    told: list[tuple[int, int]] = []
    chosen = written(decoder, matcher.policy, repeats=2, done=lambda i, k, c: told.append((i, k)))
    drawn = written(Sampling(), matcher.policy, repeats=8)
    end = matcher.policy.eos_id
    for prompt, group, lots in zip(PROMPTS, chosen, drawn, strict=True):
        for k, completion in enumerate(group):
            lot = lots[4 * k : 4 * k + 4]
            programs = [c.tokens if c.tokens[-1] == end else np.append(c.tokens, end) for c in lot]
            odds = matcher.odds([plain_sample(prompt, tokens) for tokens in programs])
            assert completion.tokens.tolist() == lot[int(odds.argmax())].tokens.tolist()
    assert told == [(0, 0), (0, 1), (1, 0), (1, 1)]


def test_a_program_is_matched_with_one_end_token_whatever_ended_it(monkeypatch: pytest.MonkeyPatch) -> None:
    matcher, read = taught(), []
    end = matcher.policy.eos_id
    monkeypatch.setattr(
        matcher, "odds", lambda samples: read.extend(s.tokens.tolist() for s in samples) or np.zeros(len(samples))
    )
    row = np.zeros(2, np.float32)
    group = [Completion(np.array(tokens), row, row, 0, cut) for tokens, cut in (([60, end], False), ([60, 70], True))]
    Matched(matcher).scores(matcher.policy, PROMPTS[0], group)
    assert read == [[60, end], [60, 70, end]]


def test_without_a_match_the_likeliest_is_handed_in() -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    chosen = written(matched.load(n=4, match=False), policy, repeats=1)
    drawn = written(Sampling(), policy, repeats=4)
    for [completion], lot in zip(chosen, drawn, strict=True):
        assert likelihood(completion) == max(map(likelihood, lot))


def test_rows_of_a_matcher_change_nothing() -> None:
    matcher = taught()
    samples = [plain_sample(np.array([40 + i]), np.array([60, 70 + i, 0][i % 2 :])) for i in range(7)]
    whole = Matcher(matcher.policy, matcher.heads, rows=64)
    np.testing.assert_allclose(matcher.odds(samples), whole.odds(samples), atol=1e-5)
    texts = [s.tokens for s in samples]
    np.testing.assert_allclose(matcher.features(texts), whole.features(texts), atol=1e-5)


def test_what_cannot_match_is_refused() -> None:
    with pytest.raises(UsageError, match="path"):
        matched.load()
    with pytest.raises(UsageError, match="n >= 1"):
        matched.load(n=0, match=False)
    other = copy_of(tiny_seq2seq.load, **{**SMALL, "vocab_size": 300})
    with pytest.raises(UsageError, match="tokenizer"):
        written(Matched(taught(), n=2), other)
    alone = copy_of(tiny.load, **SMALL)
    with pytest.raises(UsageError, match="encoder"):
        Matcher(alone, pair_heads.on(alone, 8)).odds([plain_sample(PROMPTS[0], PROMPTS[1])])
