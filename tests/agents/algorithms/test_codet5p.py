"""CodeT5+'s pre-training: each loss is of what it says, whichever way a batch is cut; a run goes on as if it had not stopped."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.algorithms import codet5p
from agents.algorithms.codet5p import CodeT5p
from agents.batching import batch
from agents.critics.matcher import Matcher
from agents.functional import token_logprobs
from agents.learning import contrast
from agents.policies import pair_heads, tiny, tiny_seq2seq
from agents.policies.pair_heads import match_logits, plain_sample
from agents.testing import check_agent
from rltf_env import sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import MissingData, UsageError
from rltf_env.tokenizers import HuggingFace

SMALL: dict[str, Any] = {
    "width": 16, "layers": 1, "heads": 2, "vocab_size": 300, "dataset_options": {"size": 16}
}  # fmt: skip
ALL = {"t2c": 1.0, "c2t": 1.0, "contrast": 1.0, "match": 1.0, "denoise": 1.0, "causal": 1.0}
QUICK: dict[str, Any] = {
    "batch_size": 5, "width": 8, "queue": 7, "momentum": 0.9, "optimiser": {"lr": 1e-2, "warmup": 1, "micro_batch": 2}
}  # fmt: skip


def problems(count: int = 6) -> list[Problem]:
    return [
        Problem(
            f"p{i}", f"Give {i * 'a '}{i}.", [CallCase((), i)], "f", solutions=[f"def f():\n    return {i} + x{i}\n"]
        )
        for i in range(count)
    ]


def entangled() -> list[Problem]:
    """Three, and a fourth with the text of the first and the program of the second."""
    some = problems(3)
    return [*some, Problem("twin", some[0].statement, [CallCase((), 9)], "f", solutions=some[1].solutions)]


def world(policy: Any, some: list[Problem] | None = None, **options: Any) -> UnitTestEnv:
    judge = sandbox.load("scripted", rules=lambda source, problem: True)
    return UnitTestEnv(
        some or problems(), sandbox=judge, tokenizer=HuggingFace(policy.tokenizer), max_prompt_tokens=64,
        max_program_tokens=48, **options,
    )  # fmt: skip


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def small(weights: dict[str, float] | None = None, some: list[Problem] | None = None, **options: Any) -> CodeT5p:
    policy = copy_of(tiny_seq2seq.load, **SMALL, tokens="paper")
    return codet5p.load(policy, world(policy, some), seed=0, **(QUICK | {"weights": weights or ALL} | options))


def test_contract_holds_with_an_encoder_and_all_losses() -> None:
    """Queue, slow copy and heads are in the state: a run that goes on is the run that was not stopped."""

    def make(policy: Any, env: UnitTestEnv, seed: int) -> CodeT5p:
        own = copy_of(tiny_seq2seq.load, **SMALL, tokens="paper", seed=seed)
        env.tokenizer = HuggingFace(own.tokenizer)
        return codet5p.load(own, env, seed=seed, **(QUICK | {"weights": ALL, "queue": 6}))

    check_agent(make, updates=2)


def test_a_state_without_its_queue_or_its_slow_copy_goes_on_otherwise() -> None:
    """What the contract would miss if nothing came of either."""
    first = small()
    for _ in range(2):
        first.update()
    state = first.state_dict()
    state = {**state, "learner": first.learner.state_dict()}
    for part in ("queue", "momentum"):
        other, fresh = small(), small()
        other.load_state_dict({**_copied(state), part: _copied(fresh.state_dict())[part]})
        again = small()
        again.load_state_dict(_copied(state))
        assert other.update()["loss/contrast"] != again.update()["loss/contrast"]


def _copied(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.clone()
    if isinstance(state, dict):
        return {key: _copied(value) for key, value in state.items()}
    return [_copied(each) for each in state] if isinstance(state, list) else state


@pytest.mark.parametrize("micro_batch", [1, 2, 0])
def test_losses_are_those_of_the_whole_batch_however_it_is_cut(micro_batch: int) -> None:
    """By each loss, worked out once more of the plan: no term may be left out, doubled or turned round."""
    how = {"lr": 1e-9, "warmup": 0, "micro_batch": micro_batch}
    agent = small(some=entangled(), batch_size=9, optimiser=how)
    for _ in range(2):  # so that the queue holds something, and the match says something
        agent.update()
    with torch.no_grad():
        agent.heads.match.weight.copy_(torch.arange(32.0).reshape(2, 16).sin())
    state = agent.rng.bit_generator.state
    plan = agent._plan(codet5p.draw_references(agent.env, agent.references, agent.rng, 9))
    expected = {name: _language(agent, name, plan) for name in codet5p.LANGUAGE}
    expected |= {"contrast": _contrast(agent, plan), "match": _match(agent, plan)}
    agent.rng.bit_generator.state = state
    metrics = agent.update()
    for name, value in expected.items():
        assert metrics[f"loss/{name}"] == pytest.approx(value, abs=1e-5), name
    assert metrics["pretraining_loss"] == pytest.approx(sum(expected.values()), abs=1e-4)


def _language(agent: CodeT5p, name: str, plan: Any) -> float:
    total = count = 0.0
    policy = agent.policy
    if name == "c2t":
        policy = policy.starting(policy.tokenizer.convert_tokens_to_ids("[TDEC]"))  # type: ignore[attr-defined]
    for sample in plan.language[name]:
        data = batch([sample], agent.policy.pad_id)
        with torch.no_grad():
            total -= float((token_logprobs(policy.logits(data), data.tokens) * data.loss_mask).sum())
        count += int(sample.loss_mask.sum())
    return total / count


@torch.no_grad()
def _contrast(agent: CodeT5p, plan: Any) -> float:
    """Of features one by one; keys of the batch are the slow copy's, those of the queue older."""
    tau = float(agent.heads.temperature)
    matcher = Matcher(agent.policy, agent.heads)
    total = 0.0
    sides = (plan.text, plan.keys[1], plan.known[0]), ([c[:-1] for c in plan.code], plan.keys[0], plan.known[1])
    for texts, keys, known in sides:
        for i, query in enumerate(torch.from_numpy(matcher.features(texts))):
            logits = {j: float(query @ key) / tau for j, key in enumerate(keys) if j == i or not known[i, j]}
            total += float(np.logaddexp.reduce(list(logits.values()))) - logits[i]
    assert len(plan.keys[0]) > plan.size
    assert not torch.equal(*plan.known)
    return total / (2 * plan.size)


@torch.no_grad()
def _match(agent: CodeT5p, plan: Any) -> float:
    odds = Matcher(agent.policy, agent.heads).odds([plain_sample(t, c) for row in plan.judged for t, c, _ in row])
    labels = np.array([label for row in plan.judged for *_, label in row])
    assert {len(row) for row in plan.judged} <= {1, 2, 3}
    return float(np.logaddexp(0, np.where(labels == 1, -odds, odds)).mean())


def test_keys_are_the_slow_copys_and_carry_no_gradient() -> None:
    agent = small({"contrast": 1.0, "t2c": 0.0, "c2t": 0.0, "match": 0.0})
    for _ in range(3):
        agent.update()
    plan = agent._plan(codet5p.draw_references(agent.env, agent.references, agent.rng, 5))
    assert agent.momentum
    assert plan.keys
    texts = agent.momentum.features(plan.text, 0)
    torch.testing.assert_close(plan.keys[0][:5], texts)
    torch.testing.assert_close(plan.keys[1][:5], agent.momentum.features([code[:-1] for code in plan.code], 0))
    assert torch.equal(plan.keys[0][5:], agent.queue.text)
    assert torch.equal(plan.keys[1][5:], agent.queue.code)
    assert not torch.equal(agent.queue.text, agent.queue.code)
    assert not np.allclose(Matcher(agent.policy, agent.heads).features(plan.text), texts.numpy(), atol=1e-3)
    assert not any(key.requires_grad for key in plan.keys)


def test_the_slow_copy_follows_by_what_it_does_not_keep() -> None:
    agent = small({"contrast": 1.0, "t2c": 0.0, "c2t": 0.0, "match": 0.0}, momentum=0.75)
    assert agent.momentum
    copied = [*agent.momentum.policy.model.parameters(), *agent.momentum.projection.parameters()]
    before = [p.clone() for p in copied]
    agent.update()
    reader = contrast.part_that_reads(agent.policy.model)
    for old, new, its in zip(before, copied, [*reader.parameters(), *agent.heads.projection.parameters()], strict=True):
        torch.testing.assert_close(new, old + 0.25 * (its - old))


def test_hard_negatives_are_drawn_by_likeness_over_the_temperature(monkeypatch: pytest.MonkeyPatch) -> None:
    agent, seen = small(temperature=0.25), []
    monkeypatch.setattr(
        contrast, "hard_negatives", lambda likeness, same, rng: seen.append(likeness) or np.full(len(likeness), -1)
    )
    plan = agent._plan(codet5p.draw_references(agent.env, agent.references, agent.rng, 3))
    assert plan.keys
    similarity = (plan.keys[0][:3] @ plan.keys[1][:3].T).numpy()
    np.testing.assert_allclose(seen[0], similarity / 0.25, rtol=1e-4)
    np.testing.assert_allclose(seen[1], similarity.T / 0.25, rtol=1e-4)


def test_a_negative_has_neither_the_pairs_text_nor_its_program() -> None:
    agent = small(some=entangled())
    for _ in range(5):
        plan = agent._plan(codet5p.draw_references(agent.env, agent.references, agent.rng, 8))
        true = {(t.tobytes(), c.tobytes()) for t, c in zip(plan.text, plan.code, strict=True)}
        for row, text, code in zip(plan.judged, plan.text, plan.code, strict=True):
            assert [label for *_, label in row] == [1, *[0] * (len(row) - 1)]
            assert {t.tobytes() for t, *_ in row[:2]} == {text.tobytes()}
            assert not {(t.tobytes(), c.tobytes()) for t, c, label in row if not label} & true
            assert all(t is text or c is code for t, c, _ in row)


def test_the_control_pairs_texts_with_the_programs_of_others_but_writes_its_own() -> None:
    agent = small(pairs="others")
    drawn = codet5p.draw_references(agent.env, agent.references, agent.rng, 4)
    plan = agent._plan(drawn)
    own = [sample.tokens.tolist() for _, sample in drawn]
    assert [code.tolist() for code in plan.code] == [*own[1:], own[0]]
    assert [s.tokens.tolist() for s in plan.language["t2c"]] == own
    assert [s.prompt.tolist() for s in plan.language["c2t"]] == [tokens[:-1] for tokens in own]


def test_a_program_that_is_written_as_a_whole_follows_the_mark_that_asks_for_it(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(codet5p.corruption, "pivot", lambda length, rng: 0)
    for tokens, mark in (("paper", "[CLM]"), ("own", "")):
        policy = copy_of(tiny_seq2seq.load, **SMALL, tokens=tokens)
        agent = codet5p.load(policy, world(policy), seed=0, **(QUICK | {"weights": {"causal": 1.0}}))
        ((_, drawn),) = codet5p.draw_references(agent.env, agent.references, agent.rng, 1)
        asked = policy.tokenizer.convert_tokens_to_ids(mark) if mark else policy.eos_id
        sample = agent._sample("causal", drawn)
        assert (sample.prompt.tolist(), sample.tokens.tolist()) == ([asked], drawn.tokens.tolist())


def test_a_program_of_a_pair_that_is_learnt_is_told_from_others() -> None:
    """After 80 updates: the own program is the nearest, and the match says yes to it and no to the next one."""
    agent = small(
        {"t2c": 0.0, "c2t": 0.0, "contrast": 1.0, "match": 1.0},
        batch_size=12, queue=12, optimiser={"lr": 1e-2, "warmup": 1, "weight_decay": 0.0, "micro_batch": 0},
    )  # fmt: skip
    for _ in range(80):
        agent.update()
    matcher = Matcher(agent.policy, agent.heads)
    texts = [agent.env.encode_prompt(p) for p in problems()]
    codes = [np.array(agent.env.tokenizer.encode(p.solutions[0]), np.int64) for p in problems()]
    nearest = (matcher.features(texts) @ matcher.features(codes).T).argmax(1)
    assert nearest.tolist() == list(range(6))
    end = agent.policy.eos_id
    own = matcher.odds([plain_sample(t, np.append(c, end)) for t, c in zip(texts, codes, strict=True)])
    others = matcher.odds(
        [plain_sample(t, np.append(c, end)) for t, c in zip(texts, codes[1:] + codes[:1], strict=True)]
    )
    assert (own > others).mean() > 0.8


# ------------------------------------------------------------------------------------------------------ what is refused


def test_a_decoder_alone_learns_all_but_the_match() -> None:
    policy = copy_of(tiny.load, **SMALL)
    agent = codet5p.load(policy, world(policy), seed=0, **QUICK)
    assert agent.weights["match"] == 0
    assert {name for name in agent.update() if name.startswith("loss/")} == {"loss/t2c", "loss/c2t", "loss/contrast"}
    with pytest.raises(UsageError, match="seq2seq"):
        codet5p.load(policy, world(policy), seed=0, **(QUICK | {"weights": {"match": 1.0}}))


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"momentum": 1.0}, "momentum"),
        ({"temperature": 0.0}, "temperature"),
        ({"queue": -1}, "queue"),
        ({"weights": {"t2c": -1.0}}, "weights"),
        ({"weights": {"t2c": 0.0, "c2t": 0.0, "contrast": 0.0, "match": 0.0}}, "weights"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], word: str) -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    with pytest.raises(UsageError, match=word):
        codet5p.load(policy, world(policy), seed=0, **(QUICK | options))


def test_a_text_of_no_tokens_is_refused() -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    env = world(policy, prompt_style=lambda problem: "")
    with pytest.raises(UsageError, match="at least one token"):
        codet5p.load(policy, env, seed=0, **QUICK).update()


def test_denoising_without_sentinels_is_refused() -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    with pytest.raises(UsageError, match="extra_id_0"):
        codet5p.load(policy, world(policy), seed=0, **(QUICK | {"weights": ALL}))


# -------------------------------------------------------------------------------------------------------------- heads


def test_heads_lie_beside_the_policy_and_begin_another_run(tmp_path: Path) -> None:
    agent = small()
    agent.update()
    agent.policy.save(tmp_path)
    matcher = Matcher.load(tmp_path)
    pairs = [plain_sample(agent.env.encode_prompt(p), np.array([60, 70, agent.policy.eos_id])) for p in problems(3)]
    with torch.no_grad():
        policy = pair_heads.starting(agent.policy, "match")
        logits = match_logits(policy, agent.heads, batch(pairs, policy.pad_id))
    np.testing.assert_allclose(matcher.odds(pairs), (logits[:, 1] - logits[:, 0]).numpy(), atol=1e-5)
    again = small(heads=str(tmp_path))
    assert all(torch.equal(a, b) for a, b in zip(agent.heads.parameters(), again.heads.parameters(), strict=True))
    with pytest.raises(MissingData, match="heads"):
        Matcher.load(_plain(tmp_path / "plain"))


def _plain(folder: Path) -> Path:
    copy_of(tiny_seq2seq.load, **SMALL).save(folder)
    return folder


def test_heads_of_another_width_are_refused(tmp_path: Path) -> None:
    torch.save(pair_heads.PairHeads(4, 4, 3).state_dict(), tmp_path / pair_heads.FILE)
    with pytest.raises(UsageError, match="as wide"):
        pair_heads.read(tmp_path, copy_of(tiny_seq2seq.load, **SMALL))


def test_queue_is_filled_by_pairs_and_never_beyond_its_size() -> None:
    agent = small()
    assert [int(agent.update()["queue"]) for _ in range(3)] == [5, 7, 7]
    assert isinstance(agent.queue, contrast.Queue)
