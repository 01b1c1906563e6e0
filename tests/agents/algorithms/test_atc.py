"""ATC: keys are k lines ahead in the same program, made by the slow copy; the loss is of the whole batch; a run goes on."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.algorithms import atc
from agents.algorithms.atc import ATC, augmented, ends_of_lines, own_keys
from agents.batching import batch
from agents.policies import causal, tiny, tiny_seq2seq
from agents.policies.pair_heads import plain_sample
from agents.testing import check_agent
from rltf_env import sandbox
from rltf_env.core import CallCase, Problem, Program
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError
from rltf_env.tokenizers import HuggingFace

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
QUICK: dict[str, Any] = {
    "batch_size": 5, "latent": 8, "hidden": 12, "polyak": 0.2,
    "optimiser": {"lr": 1e-2, "warmup": 1, "weight_decay": 0.0, "micro_batch": 2},
}  # fmt: skip


def problems(count: int = 6) -> list[Problem]:
    """References of two to four lines."""
    return [
        Problem(
            f"p{i}", f"Give {i}.", [CallCase((), i)], "f",
            solutions=["def f():\n" + "".join(f"    x = {i}{j}\n" for j in range(i % 3)) + f"    return {i}\n"],
        )
        for i in range(count)
    ]  # fmt: skip


def world(policy: Any, some: list[Problem] | None = None) -> UnitTestEnv:
    def rules(source: str, problem: Problem) -> bool:
        raise AssertionError("nothing is to be judged")

    return UnitTestEnv(
        some or problems(), sandbox=sandbox.load("scripted", rules=rules), tokenizer=HuggingFace(policy.tokenizer),
        max_prompt_tokens=64, max_program_tokens=64,
    )  # fmt: skip


def small(kind: Any = tiny, some: list[Problem] | None = None, seed: int = 0, **options: Any) -> ATC:
    policy = copy_of(kind.load, **SMALL, seed=seed)
    return atc.load(policy, world(policy, some), seed=seed, **(QUICK | options))


# --------------------------------------------------------------------------------------------------------------- lines


def test_a_key_is_k_lines_ahead_in_the_same_program_and_the_last_lines_have_none() -> None:
    """Programs of 3, 1 and 2 lines; keys at k = 1: lines 2 and 3 of the first, and line 2 of the last."""
    assert own_keys([3, 1, 2], 1).tolist() == [0, 1, -1, -1, 2, -1]
    assert own_keys([3, 1, 4], 2).tolist() == [0, -1, -1, -1, 1, 2, -1, -1]
    assert own_keys([2, 2], 2).tolist() == [-1] * 4


def test_lines_end_at_the_tokens_that_end_them_and_the_end_token_ends_none() -> None:
    tokenizer = HuggingFace(copy_of(tiny.load, **SMALL).tokenizer)
    for text in ("ab\nc\n", "ab\nc"):
        program = tokenizer.program([*tokenizer.encode(text), tokenizer.eos_id])
        ends = ends_of_lines(program).tolist()
        assert [tokenizer.program(program.tokens[: end + 1]).text for end in ends] == ["ab\n", text]
    assert not len(ends_of_lines(tokenizer.program([tokenizer.eos_id])))


def test_lines_that_end_in_one_token_are_one() -> None:
    program = Program(np.arange(3), "a\n\nb", np.array([0, 1, 3]))
    assert ends_of_lines(program).tolist() == [1, 2]


def test_keys_stand_k_lines_ahead_in_the_agent_too() -> None:
    agent = small(k=2, augmentation=0.0)
    drawn = agent._draw()
    plan = agent._plan(drawn)
    places = [ends[2:] for _, ends in drawn]
    assert len(plan.keys) == sum(map(len, places)) > 0
    torch.testing.assert_close(plan.keys, agent.target.keys([sample for sample, _ in drawn], places))


def test_keys_of_equal_content_are_known_however_they_were_augmented() -> None:
    agent = small(augmentation=0.5)
    (one, *_) = agent._draw()
    first, second = agent._plan([one, one]).digests.split(len(one[1]) - 1)
    assert torch.equal(first, second)
    assert len(set(first.tolist())) == len(first)


def test_what_a_key_has_read_ends_with_its_own_token() -> None:
    one, other = (plain_sample(np.array([40]), np.array([50, 60, last])) for last in (70, 80))
    before, after = (atc._digests([one, other], [np.array([at])] * 2).tolist() for at in (1, 2))
    assert before[0] == before[1]
    assert after[0] != after[1]


def test_tokens_are_replaced_as_often_as_asked_and_never_the_end_nor_by_it() -> None:
    rng, ordinary = np.random.default_rng(0), np.arange(10, 50)
    tokens = np.tile([20, 3], 4000)  # 3 is no ordinary token
    changed = augmented(tokens, 0.1, ordinary, rng)
    assert (changed[1::2] == 3).all()
    assert set(changed[::2]) <= set(ordinary.tolist())
    assert (changed != tokens).sum() / 4000 == pytest.approx(0.1 * 39 / 40, abs=0.015)
    assert (augmented(tokens, 0.0, ordinary, rng) == tokens).all()


def test_both_readings_are_augmented_apart_and_keep_their_ends() -> None:
    agent = small(augmentation=0.5)
    drawn = agent._draw()
    plan = agent._plan(drawn)
    again = agent._augmented(drawn[0][0])
    sample, own = drawn[0][0], plan.samples[0]
    assert own.tokens[-1] == again.tokens[-1] == agent.policy.eos_id
    assert (own.tokens != sample.tokens).any() and (own.prompt != sample.prompt).any()  # noqa: PT018
    assert (own.tokens != again.tokens).any()
    places = [ends[1:] for _, ends in drawn]
    assert not torch.allclose(plan.keys, agent.target.keys(plan.samples, places), atol=1e-3)  # as the anchors read them
    plain = small(augmentation=0.0)
    drawn = plain._draw()
    keys = plain.target.keys([sample for sample, _ in drawn], [ends[1:] for _, ends in drawn])
    torch.testing.assert_close(plain._plan(drawn).keys, keys)


# ---------------------------------------------------------------------------------------------------------------- loss


@pytest.mark.parametrize("kind", [tiny, tiny_seq2seq])
@pytest.mark.parametrize("micro_batch", [2, 0])
def test_the_loss_is_that_of_the_whole_batch_worked_out_line_by_line(kind: Any, micro_batch: int) -> None:
    """Anchors by the learner, keys by the copy, each read alone; equal keys are no negatives."""
    agent = small(kind, batch_size=9, optimiser={**QUICK["optimiser"], "micro_batch": micro_batch}, augmentation=0.0)
    for _ in range(3):  # so that the copy differs from what it follows
        agent.update()
    state = agent.rng.bit_generator.state
    drawn = agent._draw()
    expected, right, pairs = _by_hand(agent, drawn)
    agent.rng.bit_generator.state = state
    metrics = agent.update()
    assert len({len(ends) for _, ends in drawn}) > 1
    assert metrics["contrast_loss"] == pytest.approx(expected / pairs, abs=1e-5)
    assert metrics["contrast_accuracy"] == pytest.approx(right / pairs, abs=1e-6)
    assert metrics["lines"] == pairs


@torch.no_grad()
def _by_hand(agent: ATC, drawn: Any) -> tuple[float, int, int]:
    head, policy, slow = agent.head, agent.policy, agent.target.reference.policy

    def state(reader: Any, sample: Any, end: int) -> torch.Tensor:
        cut = plain_sample(sample.prompt, np.append(sample.tokens[: end + 1], 0))
        return reader.read(batch([cut], policy.pad_id))[1][0, -1]  # it has read all but the last token

    keys, anchors = [], []
    for sample, ends in drawn:
        for m in range(len(ends) - 1):
            a = head.projection(state(policy, sample, ends[m]))
            anchors.append((a + head.outer(head.inner(a).clamp(min=0))) @ head.weight)
            content = (sample.prompt.tobytes(), sample.tokens[: ends[m + 1] + 1].tobytes())
            keys.append((content, agent.target.projection(state(slow, sample, ends[m + 1]))))
    total, right = 0.0, 0
    for i, anchor in enumerate(anchors):
        logits = {j: float(anchor @ key) for j, (content, key) in enumerate(keys) if j == i or content != keys[i][0]}
        total += float(np.logaddexp.reduce(list(logits.values()))) - logits[i]
        right += max(logits, key=lambda j: logits[j]) == i
    assert len({content for content, _ in keys}) < len(keys)
    return total, right, len(anchors)


def test_no_gradient_reaches_the_copy_and_it_follows_by_its_share() -> None:
    agent = small(polyak=0.25)
    copied = [*agent.target.reference.policy.model.parameters(), *agent.target.projection.parameters()]
    learner = [*agent.policy.model.parameters(), *agent.head.projection.parameters()]
    assert not any(p.requires_grad for p in copied)
    before = [p.clone() for p in copied]
    agent.update()
    assert all(p.grad is None for p in copied)
    for old, new, its in zip(before, copied, learner, strict=True):
        torch.testing.assert_close(new, old + 0.25 * (its - old))


def test_shuffled_positives_are_those_of_others() -> None:
    plain, control = (
        small(augmentation=0.0, batch_size=16),
        small(positives="shuffled", augmentation=0.0, batch_size=16),
    )
    own, other = (agent._plan(agent._draw()).own for agent in (plain, control))
    valid = own >= 0
    assert torch.equal(valid, other >= 0)
    assert sorted(other[valid].tolist()) == own[valid].tolist()
    assert (own[valid] == other[valid]).float().mean() < 0.3


# ------------------------------------------------------------------------------------------------------------ learning


def test_contract_holds_with_an_encoder_too() -> None:
    """Without one, `test_contracts.py` asks."""

    def make(policy: Any, env: UnitTestEnv, seed: int) -> ATC:
        own = copy_of(tiny_seq2seq.load, **SMALL, seed=seed)
        env.tokenizer = HuggingFace(own.tokenizer)
        return atc.load(own, env, seed=seed, **QUICK)

    check_agent(make, updates=2)


def test_a_state_without_its_copy_goes_on_otherwise() -> None:
    first = small()
    for _ in range(2):
        first.update()
    state, fresh = first.state_dict(), small().state_dict()
    losses = []
    for target in (state["target"], fresh["target"]):
        other = small()
        other.load_state_dict({**state, "target": target})
        losses.append(other.update()["contrast_loss"])
    assert losses[0] != losses[1]
    assert losses[0] == first.update()["contrast_loss"]


def test_a_state_has_the_generator_that_a_policys_own_programs_are_drawn_with() -> None:
    first, fresh = small(), small()
    torch.rand(3, generator=first.generator)
    fresh.load_state_dict(first.state_dict())
    assert torch.rand(1, generator=fresh.generator) == torch.rand(1, generator=first.generator)


def worded() -> list[Problem]:
    """Six whose texts and programs have letters of their own."""
    return [
        Problem(
            f"p{i}", f"Give {letter * 8}.", [CallCase((), i)], "f",
            solutions=[f"def f():\n    {letter * 8} = 1\n    return {letter * 8}\n"],
        )
        for i, letter in enumerate("axQZYc")
    ]  # fmt: skip


def test_lines_come_to_tell_what_follows_and_shuffled_ones_do_not() -> None:
    """Of 24 keys, by the newest 15 of 80 updates; what is learnt is in the trunk and not in the parts alone."""
    how = {"batch_size": 12, "optimiser": {**QUICK["optimiser"], "micro_batch": 0}, "polyak": 0.05}
    agent = small(some=worded(), **how)
    embedding = agent.policy.model.get_input_embeddings().weight  # type: ignore[operator]
    before = embedding.detach().clone()
    shares = [agent.update()["contrast_accuracy"] for _ in range(80)]
    assert shares[0] < 0.3
    assert np.mean(shares[-15:]) > 0.55
    assert float((embedding.detach() - before).abs().max()) > 0.01
    control = small(some=worded(), positives="shuffled", **how)
    assert np.mean([control.update()["contrast_accuracy"] for _ in range(30)][-10:]) < 0.3


def test_a_policy_may_learn_from_what_it_writes_itself_and_nothing_is_judged() -> None:
    policy = copy_of(tiny.load, **SMALL)
    newline = policy.tokenizer.encode("\n")[-1]
    with torch.no_grad():  # a policy that ends lines often
        embedding: Any = policy.model.get_output_embeddings()  # type: ignore[operator]
        head: Any = torch.nn.utils.skip_init(torch.nn.Linear, 16, len(embedding.weight))
        head.weight.copy_(embedding.weight)
        head.bias.zero_()
        head.bias[newline] = 2.5
        policy.model.lm_head = head
    agent = atc.load(policy, world(policy), seed=0, **(QUICK | {"programs": "policy"}))
    drawn = agent._draw()
    assert all(len(ends) > 1 for _, ends in drawn)
    references = {tuple(agent.env.tokenizer.encode(p.solutions[0])) for p in problems()}
    assert not {tuple(sample.tokens.tolist()[:-1]) for sample, _ in drawn} & references
    assert np.isfinite(agent.update()["contrast_loss"])


def test_what_it_leaves_is_a_plain_folder(tmp_path: Path) -> None:
    agent = small()
    agent.update()
    agent.policy.save(tmp_path)
    assert not list(tmp_path.glob("*.pt"))
    assert causal.load(str(tmp_path)).vocab_size == agent.policy.vocab_size  # type: ignore[attr-defined]


# ------------------------------------------------------------------------------------------------------ what is refused


def test_programs_of_one_line_only_are_refused() -> None:
    some = [Problem("p", "Give 1.", [CallCase((), 1)], "f", solutions=["f = lambda: 1\n"])]
    with pytest.raises(UsageError, match=r"agent\.k = 1"):
        small(some=some).update()
    with pytest.raises(UsageError, match=r"agent\.k = 4"):
        small(k=4).update()


@pytest.mark.parametrize(
    ("options", "word"),
    [
        ({"batch_size": 1}, "batch_size"),
        ({"k": 0}, "agent.k"),
        ({"latent": 0}, "latent"),
        ({"augmentation": 1.0}, "augmentation"),
        ({"augmentation": -0.1}, "augmentation"),
        ({"polyak": 0.0}, "polyak"),
        ({"programs": "policy", "references": {"size": 4}}, "references"),
    ],
)
def test_what_cannot_be_is_refused(options: dict[str, Any], word: str) -> None:
    with pytest.raises(UsageError, match=word):
        atc.build(atc.Config, QUICK | options, "agent")
