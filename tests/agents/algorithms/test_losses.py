"""Every loss as its page assembles it, term by term, on a table that a reader can check with a pencil.

One batch serves all pages: two programs of two tokens and one, over a vocabulary of two tokens.

    token          p      p when written   ratio    A     p of the reference    log p       entropy
    1st of 1st     1/2    2/5              5/4      1     1/4                   -0.693147   0.693147
    2nd of 1st     1/4    1/2              1/2     -2     1/2                   -1.386294   0.562335
    1st of 2nd     4/5    1/2              8/5      3     2/5                   -0.223144   0.500402

Programs drawn at temperature 2 are learnt from at temperature 2, where the policy gives 1/2, 1 / (1 + sqrt 3) and 2/3:

                   p         ratio       log p       entropy     k3 of the reference
    1st of 1st     0.5       5/4        -0.693147    0.693147    0.193147
    2nd of 1st     0.366025  0.732051   -1.005053    0.656806    0.054120
    1st of 2nd     0.666667  4/3        -0.405465    0.636514    0.110826

At a token k3 = r - 1 - log r, r being what the other policy gives over what this one gives: with the reference 0.193147,
0.306853, 0.193147. The slow test turns every sign in the functions of a page around and sees the tables fail.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from types import ModuleType
from typing import Any

import numpy as np
import pytest
import torch
from loss_batch import (
    DRAWN_AT_2,
    ENTROPY,
    ENTROPY_AT_2,
    KL,
    KL_AT_2,
    LOGP,
    LOGP_AT_2,
    MASK,
    PADDING,
    PROBABILITIES,
    REFERENCE,
    batch,
    logits,
    mean,
    rows,
    seq_mean,
    seq_sum,
)
from mutated import mutants

from agents import functional
from agents.algorithms import actor_critic, policy_gradient, ppo, rltf, soft_q, supervised
from agents.core import Batch, Episode, TrainingSample
from rltf_env.core import CaseResult, Feedback, Outcome, Program, Verdict

REINFORCE = (1 * -LOGP[0], -2 * -LOGP[1], 3 * -LOGP[2])
CLIPPED = (-1.2, 1.6, -3.6)  # 1.25 is held at 1.2; at 0.5 the worse of -1 and -1.6; 1.6 is held at 1.2
CLIPPED_HIGH = (-1.25, 1.6, -4.5)  # held at 1.5 alone
REINFORCE_AT_2 = (1 * -LOGP_AT_2[0], -2 * -LOGP_AT_2[1], 3 * -LOGP_AT_2[2])
CLIPPED_AT_2 = (-1.2, 1.6, -3.6)  # 1.25 is held at 1.2; at 0.732 the worse of -1.464 and -1.6; 4/3 is held at 1.2
NEGATIVE = rows(-1, -2, -3)  # weights with which a clip of 0.2 costs 1.25, 1.6 and 4.8
DUAL = (1.25, 1.6, 4.5)  # 8/5 is held at 3/2
BEHAVIOUR = (4 / 5, 1 / 3, 1 / 8)  # importance 1/2, 3/2, and 4, held at 2
IMPORTANT = (0.5, 1.5, 2.0)
Table = Iterator[tuple[str, float, float]]  # what it is, what came, what is right


def times(first: tuple[float, ...], second: tuple[float, ...]) -> tuple[float, float, float]:
    a, b, c = (x * y for x, y in zip(first, second, strict=True))
    return a, b, c


def of_bounds(
    loss: Callable[..., tuple[Any, dict[str, torch.Tensor]]], reduced: Callable[..., float], **more: Any
) -> Table:
    """What every page with a ratio has: a dual clip, importance weights, a temperature. `loss` takes a batch and options."""
    drawn = (rows(*BEHAVIOUR) + PADDING).log()

    def clipped(data: Batch, **options: Any) -> tuple[float, dict[str, torch.Tensor]]:
        value, log = loss(data, clip=0.2, **options)
        return float(value.detach()), log

    value, log = clipped(batch(NEGATIVE, **more), dual_clip=1.5)
    yield "dual clip", value, reduced(*DUAL)
    yield "logged share that is clipped", float(log["clip_fraction"]), 2 / 3  # 1/2 and 8/5
    yield "no dual clip", clipped(batch(NEGATIVE, **more), dual_clip=0.0)[0], reduced(1.25, 1.6, 4.8)
    value, log = clipped(batch(behaviour=drawn, **more), importance_cap=2.0)
    yield "importance", value, reduced(*times(IMPORTANT, CLIPPED))
    yield "logged importance", float(log["importance"]), mean(*IMPORTANT)
    yield "logged share that is held", float(log["importance_held"]), 1 / 3
    higher = clipped(batch(behaviour=drawn, **more), importance_cap=5.0)[0]
    yield "a higher cap", higher, reduced(*times((0.5, 1.5, 4.0), CLIPPED))
    yield "no importance", clipped(batch(behaviour=drawn, **more), importance_cap=0.0)[0], reduced(*CLIPPED)
    value, log = clipped(batch(**more), sampling=DRAWN_AT_2)
    yield "clip at a temperature", value, reduced(*CLIPPED_AT_2)
    yield "logged entropy at a temperature", float(log["entropy"]), mean(*ENTROPY_AT_2)
    yield "a loss at 1", clipped(batch(**more), sampling=DRAWN_AT_2, loss_temperature=1)[0], reduced(*CLIPPED)


def of_functional(m: Any) -> Table:
    """What the pages put their losses together from: ratios, and what bounds them."""
    logp, old = PROBABILITIES.log(), batch().old_logprobs
    yield from each("ratio", m.ratio(logp, old)[MASK], (1.25, 0.5, 1.6))
    yield "ratio of what was impossible", float(m.ratio(torch.tensor(0.0), torch.tensor(-1e4)) / 4.8516520e8), 1.0
    yield from each("importance", m.importance_weights(old, (rows(*BEHAVIOUR) + PADDING).log(), 2.0)[MASK], IMPORTANT)
    yield from each("logits at 1", m.at_temperature(torch.tensor([3.0, 4.0]), 1), (3.0, 4.0))
    yield from each("logits at 2", m.at_temperature(torch.tensor([3.0, 4.0]), 2.0), (1.5, 2.0))

    def both(weights: torch.Tensor, *options: Any, clip: float = 0.2, **bounds: Any) -> tuple[float, float]:
        ratio = (logp, old, weights, MASK, clip)
        loss = m.clipped_surrogate(*ratio, "seq_sum", *options, **bounds)
        return float(loss), float(m.clip_fraction(*ratio, **bounds))

    yield from each("clip", both(rows(1, -2, 3)), (seq_sum(*CLIPPED), 1.0))
    yield from each("a wide clip", both(rows(1, -2, 3), clip=0.55), (seq_sum(-1.25, 1.0, -4.65), 1 / 3))
    yield from each("clip-higher", both(rows(1, -2, 3), clip_high=0.5), (seq_sum(*CLIPPED_HIGH), 2 / 3))
    yield from each("the other way", both(rows(-1, 2, -3)), (seq_sum(1.25, -1.0, 4.8), 0.0))
    yield from each("dual clip", both(NEGATIVE, dual_clip=1.5), (seq_sum(*DUAL), 2 / 3))
    yield from each(
        "dual clip of what is raised", both(rows(1, 2, 3), dual_clip=1.1), (seq_sum(-1.2, -1.0, -3.6), 2 / 3)
    )
    yield from each("no dual clip", both(NEGATIVE, dual_clip=0.0), (seq_sum(1.25, 1.6, 4.8), 1 / 3))
    yield (
        "constant",
        both(rows(1, -2, 3), 1.0)[0] - m.clipped_surrogate(logp, old, rows(1, -2, 3), MASK, 0.2, "constant", 4.0),
        seq_sum(*CLIPPED) * 3 / 4,
    )


# -------------------------------------------------------------------------------------------------------- the losses


def of_policy_gradient(m: Any) -> Table:
    """- ratio * A, clipped + kl * KL - entropy * H."""

    def loss(**options: Any) -> float:
        return float(m.loss(batch(reference=REFERENCE.log()), logits(), m.Config(**options))[0].detach())

    yield "REINFORCE", loss(), seq_sum(*REINFORCE)
    yield "mean over tokens", loss(reduction="token_mean"), mean(*REINFORCE)
    yield "constant", loss(reduction="constant", constant=4.0), seq_sum(*REINFORCE) / 4
    yield "clip", loss(clip=0.2), seq_sum(*CLIPPED)
    yield "clip, constant", loss(clip=0.2, reduction="constant", constant=4.0), seq_sum(*CLIPPED) / 4
    yield "clip-higher", loss(clip=0.2, clip_high=0.5), seq_sum(*CLIPPED_HIGH)
    yield "KL", loss(kl=10.0), seq_sum(*REINFORCE) + 10 * seq_sum(*KL)
    yield (
        "KL, constant",
        loss(kl=10.0, reduction="constant", constant=4.0),
        seq_sum(*REINFORCE) / 4 + 2.5 * seq_sum(*KL),
    )
    yield "entropy", loss(entropy=10.0), seq_sum(*REINFORCE) - 10 * seq_sum(*ENTROPY)
    yield "entropy, mean", loss(entropy=9.0, reduction="token_mean"), mean(*REINFORCE) - 9 * mean(*ENTROPY)
    yield "GRPO", loss(clip=0.2, kl=10.0, reduction="seq_mean"), seq_mean(*CLIPPED) + 10 * seq_mean(*KL)
    log = m.loss(batch(reference=REFERENCE.log()), logits(), m.Config(clip=0.2, clip_high=0.5, kl=1.0))[1]
    yield "logged entropy", float(log["entropy"]), mean(*ENTROPY)
    yield "logged KL to the reference", float(log["kl_reference"]), mean(*KL)
    yield "logged KL to the policy that wrote", float(log["kl_behaviour"]), mean(*KL_BEHAVIOUR)
    yield "logged share that is clipped", float(log["clip_fraction"]), 2 / 3  # the second and the third
    yield "at a temperature", loss(sampling=DRAWN_AT_2), seq_sum(*REINFORCE_AT_2)
    yield "KL at a temperature", loss(sampling=DRAWN_AT_2, kl=10.0), seq_sum(*REINFORCE_AT_2) + 10 * seq_sum(*KL_AT_2)
    bonus = loss(sampling=DRAWN_AT_2, entropy=10.0)
    yield "entropy at a temperature", bonus, seq_sum(*REINFORCE_AT_2) - 10 * seq_sum(*ENTROPY_AT_2)
    drawn = batch(behaviour=(rows(*BEHAVIOUR) + PADDING).log())
    yield (
        "importance without a ratio",
        float(m.loss(drawn, logits(), m.Config())[0].detach()),
        seq_sum(*times(IMPORTANT, REINFORCE)),
    )
    yield from of_bounds(lambda data, **c: m.loss(data, logits(), m.Config(**c)), seq_sum)


KL_BEHAVIOUR = (0.026856, 0.193147, 0.129996)  # k3 of 5/4, 1/2, 8/5


def of_policy_gradient_credit(m: Any) -> Table:
    """What a program's tokens weigh."""
    earned, lengths, ratios = (torch.tensor(pair, dtype=torch.float64) for pair in ((3, 1), (10, 8), (1, -2)))
    long = {"overlong": "punish", "overlong_cache": 0.5, "overlong_weight": 0.5}  # -1 and -0.6 of 10 and 8 tokens
    for what, options, right in (
        ("return", {}, (3.0, 1.0)),
        ("return, overlong", long, (2.5, 0.7)),
        ("return, KL", {"kl_reward": 0.5}, (2.5, 2.0)),
        ("return, both", {**long, "kl_reward": 0.5}, (2.0, 1.7)),
    ):
        yield from each(what, m.program_returns(earned, lengths, ratios, 10.0, m.Config(**options)), right)
    for how, right in (("leave_one_out", (2, -2)), ("centred", (1, -1)), ("standardised", (1 / 1.0001, -1 / 1.0001))):
        advantages, baseline = m.program_advantages(earned[None], 5.0, m.Config(advantage=how))
        yield from each(how, advantages[0], right)
        yield "the running mean stays", baseline, 5.0
    advantages, baseline = m.program_advantages(earned[None], 4.0, m.Config(advantage="running"))
    yield from each("running", advantages[0], (-1.0, -3.0))
    yield "the running mean moves a tenth of the way", baseline, 3.8
    yield from each("log-ratio", m.token_log_ratios(sample(0.5, 0.25)), (np.log(2), 0.0))
    yield from each("program credit", m.token_weights(episode(), 2.0, m.Config()), (2, 2, 2))
    yield from each("token credit", m.token_weights(episode(), 2.0, m.Config(credit="token")), (2.5, 1.0, 2.0))


def of_ppo(m: Any) -> Table:
    """Clipped ratio * A + value_weight * (V - G)^2 / 2 - entropy * H."""
    values, old, returns = rows(0.5, 1.0, 2.0), rows(0.2, 1.1, 1.0), rows(1.0, 0.0, 1.0)
    error, held = mean(0.25, 1, 1) / 2, mean(0.36, 1, 1) / 2  # within 0.2 of the old ones: 0.4, 1.0, 1.2

    def loss(head_alone: bool = False, **options: Any) -> float:
        c = m.Config(**{"value_weight": 0.0, "value_clip": 0.0, **options})
        return float(m.loss(batch(values=old, returns=returns), logits(), values, c, head_alone=head_alone)[0].detach())

    yield "clip", loss(), mean(*CLIPPED)
    yield "a wider clip", loss(clip=0.5), mean(-1.25, 1.0, -4.5)
    yield "value", loss(value_weight=10.0), mean(*CLIPPED) + 10 * error
    yield "value, clipped", loss(value_weight=10.0, value_clip=0.2), mean(*CLIPPED) + 10 * held
    yield "entropy", loss(entropy=10.0), mean(*CLIPPED) - 10 * mean(*ENTROPY)
    yield "the head alone", loss(True, value_weight=10.0, entropy=10.0), 10 * error
    yield from of_bounds(
        lambda data, **c: m.loss(data, logits(), values, m.Config(value_weight=0.0, **c)),
        mean,
        values=old,
        returns=returns,
    )
    log = m.loss(batch(values=old, returns=returns), logits(), values, m.Config(value_clip=0.2))[1]
    yield "logged value loss", float(log["value_loss"]), held
    yield "logged entropy", float(log["entropy"]), mean(*ENTROPY)


def of_ppo_credit(m: Any) -> Table:
    """Rewards, advantages and returns of tokens. The episode earned 0.5 and -1 on its tokens, and 2 as a whole."""
    far = np.array([1.0, -2.0, 4.0], np.float32)
    yield from each("token credit", m.earned(episode(), 4.0, m.Config()), (0.5, -1.0, 2.0))
    yield from each("KL", m.less_kl(m.earned(episode(), 4.0, m.Config()), far, 0.25), (0.25, -0.5, 1.0))
    whole = m.Config(credit="program")
    yield from each("program credit", m.earned(episode(), 4.0, whole), (0.0, 0.0, 1.5))
    long = m.Config(overlong="punish", overlong_cache=0.75, overlong_weight=3.0)  # 2 of the 3 tokens in which it grows
    yield from each("overlong", m.earned(episode(), 4.0, long), (0.5, -1.0, 0.0))
    rewards, values = [np.array([1.0, 0.0], np.float32)], [np.array([0.0, 0.5], np.float32)]
    (credited,) = m.advantages([sample(0.5, 0.25, learn=(True, True))], rewards, values, 1.0, 1.0)
    yield from each("advantages, whitened", credited.weights, (1.0, -1.0))  # of 1.0 and -0.5
    yield from each("returns", credited.extra["returns"], (1.0, 0.0))
    yield from each("values", credited.extra["values"], (0.0, 0.5))


def of_actor_critic(m: Any) -> Table:
    """- A log p + value_weight * (V - v)^2 / 2 - entropy * H; ratios held at 1: 1, 1/2, 1.

    The first program: delta 1/2 * (2 - 1) and 0 + 1 - 0.5, hence v = 0.5 + 0.5 + 0.5 and 1 + 0.5, A = 1.5 - 0.5 and 1/2 * (2 - 1).
    """
    values, rewards = rows(0.5, 1.0, 2.0), rows(0, 2, 3)
    policy, error = mean(-LOGP[0], -0.5 * LOGP[1], -LOGP[2]), mean(1, 0.25, 1) / 2

    def loss(values: torch.Tensor = values, **options: Any) -> float:
        c = m.Config(**{"value_weight": 0.0, "lam": 1.0, **options})
        return float(m.loss(batch(rewards=rewards), logits(), values, c)[0].detach())

    yield "policy", loss(), policy
    yield "value", loss(value_weight=10.0), policy + 10 * error
    yield "entropy", loss(entropy=10.0), policy - 10 * mean(*ENTROPY)
    # At temperature 2 the ratios are held at 1, 0.732051 and 1: delta 0.732051 on the second token, so that v is 1.732051 there.
    at_2 = (-LOGP_AT_2[0] * (1 + 0.732051 - 0.5), -0.732051 * LOGP_AT_2[1], -LOGP_AT_2[2])
    yield "at a temperature", loss(sampling=DRAWN_AT_2), mean(*at_2)
    yield "at 1 all the same", loss(sampling=DRAWN_AT_2, loss_temperature=1), policy
    yield "sum", loss(reduction="seq_sum", entropy=1.0, value_weight=1.0), 1.5 * (policy + error - mean(*ENTROPY))
    log = m.loss(batch(rewards=rewards), logits(), values, m.Config(lam=1.0))[1]
    yield "logged value loss", float(log["value_loss"]), error
    yield "logged value", float(log["value"]), mean(0.5, 1, 2)
    yield "logged entropy", float(log["entropy"]), mean(*ENTROPY)
    yield "logged KL to the policy that wrote", float(log["kl_behaviour"]), mean(*KL_BEHAVIOUR)
    yield "logged share that is held", float(log["clip_fraction"]), 2 / 3


def of_rltf(m: Any) -> Table:
    """- weight * log p, or with a clip - ratio * weight."""

    def loss(**options: Any) -> tuple[float, dict[str, torch.Tensor]]:
        value, log = m.loss(batch(), logits(), m.Config(**options))
        return float(value.detach()), log

    yield "the paper's", loss()[0], seq_sum(*REINFORCE)
    yield "the released code's", loss(reduction="token_mean")[0], mean(*REINFORCE)
    yield "constant", loss(reduction="constant", constant=4.0)[0], seq_sum(*REINFORCE) / 4
    value, log = loss(clip=0.2)
    yield "clip", value, seq_sum(*CLIPPED)
    yield "logged share that is clipped", float(log["clip_fraction"]), 1.0
    yield "logged share with a wide clip", float(loss(clip=0.4)[1]["clip_fraction"]), 2 / 3
    yield "logged entropy", float(log["entropy"]), mean(*ENTROPY)
    yield "logged KL to the policy that wrote", float(log["kl_behaviour"]), mean(*KL_BEHAVIOUR)
    yield "at a temperature", loss(sampling=DRAWN_AT_2)[0], seq_sum(*REINFORCE_AT_2)
    yield from of_bounds(lambda data, **c: m.loss(data, logits(), m.Config(**c)), seq_sum)
    yield from each("weights", m.spread(episode().feedback), (2.5, 1.0, 2.0))
    first, second = m.above_the_others([episode().feedback, episode(sequence=5.0).feedback])  # 2 and 5 as a whole
    yield from each("the worse of two", first, (-2.5, -4.0, -3.0))
    yield from each("the better of two", second, (3.5, 2.0, 3.0))


def of_supervised(m: Any) -> Table:
    def loss(*how: Any) -> float:
        return float(m.supervised_loss(batch(), logits(), *how)[0].detach())

    yield "cross-entropy", loss(), -mean(*LOGP)
    yield "eq. 7", loss("seq_sum"), -seq_sum(*LOGP)
    yield "constant", loss("constant", 4.0), -seq_sum(*LOGP) / 4


def of_path_consistency(m: Any) -> Table:
    """Logits (1 0), (0 2) of tokens 0 and 1, and (0 1) of token 1: V 1.3133, 2.1269, 1.3133 and log p -.3133, -.1269, -.3133.

    The target's (.5 .5), (1 1), and (0 0): V' 1.1931, 1.6931, .6931. Rewards 1.5 and -1 at the ends, or .5 on the first token.
    """
    right = {
        "vanilla": (0.480453, 0.25, 4.0),
        "single": (0.661395, 0.004385, 1.904084),
        "multi": (0.558073, 0.004385, 1.904084),
        "both": (0.609734, 0.004385, 1.904084),
    }
    early = {"vanilla": (1.423600, 0.25), "single": (1.724656, 0.004385), "multi": (1.555115, 0.004385)}
    logits, target, tokens = SOFT
    for kind, numbers in right.items():
        rewards, values = torch.tensor([[0.0, 1.5], [-1.0, 7.0]]), target.logsumexp(-1)
        error = m.path_consistency(logits, values, tokens, rewards, MASK, kind)
        yield from each(kind, error[MASK], numbers)
        yield f"{kind}, padding", float(error[1, 1]), 0.0
    for kind, numbers in early.items():
        rewards = torch.tensor([[0.5, 1.5], [-1.0, 7.0]])
        yield from each(
            f"{kind}, early", m.path_consistency(logits, target.logsumexp(-1), tokens, rewards, MASK, kind)[0], numbers
        )


SOFT = (
    torch.tensor([[[1.0, 0.0], [0.0, 2.0]], [[0.0, 1.0], [3.0, 4.0]]]),
    torch.tensor([[[0.5, 0.5], [1.0, 1.0]], [[0.0, 0.0], [9.0, 9.0]]]),
    torch.tensor([[0, 1], [1, 0]]),
)


def of_soft_q(m: Any) -> Table:
    """The numbers of `of_path_consistency`, (single + multi) / 2, and those of the exchanged networks.

    Exchanged, log p is -.6931 everywhere: single -1.5067, -.0662, 1.6202 and multi -1.5730, -.0662, 1.6202, squared. All rewards
    are a tenth of what they come to: scale 10. With a shift of 1 the ends are 2.5 and 0.
    """
    logits, target, tokens = SOFT
    ours = 0.609734 + 0.004385 + 1.904084
    theirs = (2.270487 + 2.474432) / 2 + 0.004385 + 2.624771
    rewards = torch.tensor([[0.0, 0.15], [-0.1, 0.7]])
    prompt = torch.ones(2, 1, dtype=torch.long)
    data = Batch(prompt, prompt > 0, tokens, MASK, MASK, rewards, torch.zeros(2, 2))

    def loss(shift: float = 0.0, **options: Any) -> tuple[float, dict[str, torch.Tensor]]:
        value, log = m.loss(data, (logits, target), m.Config(**{"scale": 10.0, **options}), shift)
        return float(value), log

    yield "one-sided", loss(coefficient=0.0)[0], ours / 2
    yield "exchanged alone", loss(coefficient=1.0)[0], theirs / 2
    yield "a quarter exchanged", loss(coefficient=0.25)[0], (3 * ours + theirs) / 8
    yield "vanilla", loss(coefficient=0.0, loss="vanilla")[0], (0.480453 + 0.25 + 4.0) / 2
    yield "shifted", loss(1.0, coefficient=0.0, loss="vanilla")[0], (0.480453 + 0.25 + 1.0) / 2
    log = loss()[1]
    yield "logged value", float(log["value"]), 1.313262
    yield "logged entropy", float(log["entropy"]), (0.582203 + 0.365334 + 0.582203) / 3
    yield from each("scaled", m.scaled(rewards, MASK, 10.0, 1.0)[MASK], (0.0, 2.5, 0.0))


def each(what: str, values: Any, right: tuple[float, ...]) -> Table:
    assert len(values) == len(right)
    for i, (value, expected) in enumerate(zip(values, right, strict=True)):
        yield f"{what} [{i}]", float(value), expected


def episode(sequence: float = 2.0) -> Episode:
    """Three tokens that earned 0.5, -1 and nothing themselves."""
    tokens, zeros = np.array([0, 1, 2]), np.zeros(3, np.float32)
    program = Program(tokens, "abc", tokens)
    feedback = Feedback.build(program, "table", program_reward=sequence, tokens=[0.5, -1.0, 0.0])
    verdict = Verdict((CaseResult(Outcome.PASSED, None),))
    return Episode("p", np.array([1]), program, zeros, zeros, verdict, feedback, 0)


def sample(p: float, reference: float, learn: tuple[bool, bool] = (True, False)) -> TrainingSample:
    own, other = (np.log(np.full(2, x, np.float32)) for x in (p, reference))
    zeros = np.zeros(2, np.float32)
    return TrainingSample(np.array([1]), np.array([0, 1]), np.array(learn), zeros, own, extra={"reference": other})


TABLES: dict[str, tuple[ModuleType, Callable[[Any], Table], tuple[str, ...]]] = {
    "functional": (
        functional,
        of_functional,
        ("ratio", "importance_weights", "at_temperature", "clipped_surrogate", "clip_fraction"),
    ),
    "policy_gradient": (policy_gradient, of_policy_gradient, ("loss", "surrogate", "importance_weighted")),
    "policy_gradient_credit": (
        policy_gradient,
        of_policy_gradient_credit,
        ("program_returns", "program_advantages", "token_log_ratios", "token_weights"),
    ),
    "ppo": (ppo, of_ppo, ("loss",)),
    "ppo_credit": (ppo, of_ppo_credit, ("earned", "less_kl", "advantages")),
    "actor_critic": (actor_critic, of_actor_critic, ("loss",)),
    "rltf": (rltf, of_rltf, ("loss", "spread", "above_the_others")),
    "soft_q": (soft_q, of_soft_q, ("loss", "scaled")),
    "path_consistency": (functional, of_path_consistency, ("path_consistency", "_still_to_come")),
    "supervised": (supervised, of_supervised, ("supervised_loss",)),
}


def wrong(table: Table) -> list[str]:
    return [
        f"{what}: expected {right:.6f}, got {value:.6f}"
        for what, value, right in table
        if not abs(value - right) <= 2e-5 * max(1, abs(right))
    ]


@pytest.mark.parametrize("name", TABLES)
def test_what_a_page_assembles_is_what_the_table_says(name: str) -> None:
    module, table, _ = TABLES[name]
    assert not wrong(table(module))


# -------------------------------------------------------------------------------------------------------------- mutants


SAME = (  # what turned around is a product as before, or leaves the value as it is (its gradient is tested above)
    "functional.reinforce(",
    "functional.reduce(data.loss_mask, (1 - c.coefficient)",
    "functional.value_loss(values, values,",
    "logits.detach() if c.entropy else logits",
    "functional.token_entropy(logits.detach()) if c.entropy else functional.token_entropy(logits)",
)


@pytest.mark.slow
@pytest.mark.parametrize("name", TABLES)
def test_every_sign_that_is_turned_around_is_noticed(name: str) -> None:
    module, table, functions = TABLES[name]
    texts = {text: noticed(table, mutant) for text, mutant in mutants(module, functions)}
    assert len(texts) >= len(functions)
    unnoticed = [text for text, seen in texts.items() if not seen and not text.partition(": ")[2].startswith(SAME)]
    assert not unnoticed, "\n".join(unnoticed)


def noticed(table: Callable[[Any], Table], mutant: ModuleType) -> bool:
    try:
        return bool(wrong(table(mutant)))
    except Exception:  # it does not even run
        return True
