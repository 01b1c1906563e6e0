"""The mathematics of the agents: pure functions of tensors. Axes: B batch, T tokens, V vocabulary.

Imports torch alone.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable
from functools import wraps
from typing import Any, Literal, TypeVar

import torch
import torch.nn.functional as F
from torch import Tensor

Reduction = Literal["token_mean", "seq_mean", "seq_sum", "constant"]
LIMIT = 20.0  # nats: log-ratios are held below it, since exp(89) is infinite in float32
PathLoss = Literal["vanilla", "single", "multi", "both"]
Loss = TypeVar("Loss", bound=Callable[..., Any])


def _reduction_by_its_old_name(loss: Loss) -> Loss:
    """Lets a loss be called with `how=`, as `reduction=` was called. (`rltf_env._renamed` would import more than torch.)"""

    @wraps(loss)
    def call(*args: Any, **options: Any) -> Any:
        if "how" in options:
            warnings.warn(
                f"{loss.__name__}(how=) is now {loss.__name__}(reduction=).", DeprecationWarning, stacklevel=2
            )
            options["reduction"] = options.pop("how")
        return loss(*args, **options)

    return call  # type: ignore[return-value]


def token_logprobs(logits: Tensor, tokens: Tensor) -> Tensor:
    """log p(token) in float32: logits (..., V), tokens (...) -> (...)."""
    flat = F.cross_entropy(logits.float().flatten(0, -2), tokens.flatten(), reduction="none")
    return -flat.view_as(tokens)


def token_entropy(logits: Tensor) -> Tensor:
    """Entropy in nats of each next-token distribution: logits (..., V) -> (...)."""
    logp = logits.float().log_softmax(-1)
    return -(logp.exp() * logp).sum(-1)


def at_temperature(logits: Tensor, temperature: float) -> Tensor:
    """Logits of the distribution at this temperature, in float32; at 1 as they are: same shape."""
    return logits if temperature == 1 else logits.float() / temperature


def ratio(logprobs: Tensor, other: Tensor) -> Tensor:
    """What a policy gives each token over what another gives it, finite however far apart they are: same shape."""
    return (logprobs - other).clamp(max=LIMIT).exp()


def importance_weights(logprobs: Tensor, behaviour: Tensor, cap: float) -> Tensor:
    """Truncated importance weights min(p / behaviour, cap) of tokens (Ionides 2008): (B, T), (B, T) -> (B, T)."""
    return ratio(logprobs, behaviour).clamp(max=cap)


def masked_mean(values: Tensor, mask: Tensor) -> Tensor:
    """Mean of `values` where `mask`; 0 where nothing is."""
    return (values * mask).sum() / mask.sum().clamp(min=1)


@_reduction_by_its_old_name
def reduce(values: Tensor, mask: Tensor, reduction: Reduction, constant: float = 1.0) -> Tensor:
    """Per-token losses (B, T) to one number.

    - `token_mean`: mean over all tokens of the batch (RLTF's and CodeRL's released code, DAPO)
    - `seq_mean`: mean over each program, mean over programs (GRPO, arXiv 2402.03300, eq. 3)
    - `seq_sum`: sum over each program, mean over programs (RLTF eq. 2 and 7-10)
    - `constant`: the sum divided by B * constant (Dr.GRPO, arXiv 2503.20783, section 3.2)
    """
    if reduction == "token_mean":
        return masked_mean(values, mask)
    if reduction == "seq_mean":
        return ((values * mask).sum(1) / mask.sum(1).clamp(min=1)).mean()
    total = (values * mask).sum() / values.shape[0]
    return total if reduction == "seq_sum" else total / constant


@_reduction_by_its_old_name
def cross_entropy(logprobs: Tensor, mask: Tensor, reduction: Reduction = "token_mean", constant: float = 1.0) -> Tensor:
    """Supervised loss on reference programs (RLTF eq. 7): logprobs (B, T), mask (B, T) -> scalar."""
    return reduce(-logprobs, mask, reduction, constant)


@_reduction_by_its_old_name
def reinforce(
    logprobs: Tensor, weights: Tensor, mask: Tensor, reduction: Reduction = "token_mean", constant: float = 1.0
) -> Tensor:
    """-weight * log p, the loss of RLTF eq. 2 with a weight for each token: all (B, T) -> scalar."""
    return reduce(-weights * logprobs, mask, reduction, constant)


@_reduction_by_its_old_name
def clipped_surrogate(
    logprobs: Tensor,
    old_logprobs: Tensor,
    weights: Tensor,
    mask: Tensor,
    clip: float,
    reduction: Reduction = "token_mean",
    constant: float = 1.0,
    clip_high: float | None = None,
    dual_clip: float = 3.0,
) -> Tensor:
    """PPO's objective (arXiv 1707.06347, eq. 7), negated: the ratio to the behaviour policy leaves no gain beyond 1 +- clip.

    All (B, T) -> scalar. At ratio 1 its gradient is that of `reinforce`. With `clip_high` the upper bound is 1 + clip_high
    (DAPO's clip-higher, arXiv 2503.14476, eq. 8). A token of negative weight costs `dual_clip` times its weight at the most
    (dual clip, arXiv 1912.09729; 0: no bound), so that one which has become likely since does not outweigh all others.
    """
    now = ratio(logprobs, old_logprobs)
    bounded = now.clamp(1 - clip, 1 + (clip if clip_high is None else clip_high))
    gains = torch.minimum(now * weights, bounded * weights)
    if dual_clip:
        gains = torch.where(weights < 0, torch.maximum(gains, dual_clip * weights), gains)
    return reduce(-gains, mask, reduction, constant)


def clip_fraction(
    logprobs: Tensor,
    old_logprobs: Tensor,
    weights: Tensor,
    mask: Tensor,
    clip: float,
    clip_high: float | None = None,
    dual_clip: float = 3.0,
) -> Tensor:
    """Share of tokens whose gradient `clipped_surrogate` cuts off."""
    now = ratio(logprobs, old_logprobs)
    high = clip if clip_high is None else clip_high
    cut = ((now > 1 + high) & (weights > 0)) | ((now < 1 - clip) & (weights < 0))
    if dual_clip:
        cut = cut | ((now > dual_clip) & (weights < 0))
    return masked_mean(cut.float(), mask)


def kl_estimate(logprobs: Tensor, other: Tensor) -> Tensor:
    """Schulman's k3 estimate of KL(p || other) at each sampled token, never negative: (B, T), (B, T) -> (B, T)."""
    log_ratio = (other - logprobs).clamp(max=LIMIT)
    return log_ratio.exp() - 1 - log_ratio


def leave_one_out(returns: Tensor) -> Tensor:
    """Each return minus the mean of the *others* of its group (RLOO): (..., K) -> (..., K); K = 1 gives the return itself."""
    k = returns.shape[-1]
    if k == 1:
        return returns
    return (returns - returns.mean(-1, keepdim=True)) * k / (k - 1)


# ------------------------------------------------------------------------------------------------------------ advantages


def centred(returns: Tensor) -> Tensor:
    """Each return minus the mean of its group, itself included (Dr.GRPO, arXiv 2503.20783, section 3.2): (..., K) -> (..., K)."""
    return returns - returns.mean(-1, keepdim=True)


def standardised(returns: Tensor, epsilon: float = 1e-4) -> Tensor:
    """Each return minus its group's mean, over the group's standard deviation (GRPO, arXiv 2402.03300, section 4.1.2).

    (..., K) -> (..., K). The deviation is that of the K returns themselves (divided by K); `epsilon` is added to it, so that a
    group whose programs all earned the same has advantage 0.
    """
    return centred(returns) / (returns.std(-1, correction=0, keepdim=True) + epsilon)


def whiten(values: Tensor, mask: Tensor, epsilon: float = 1e-8) -> Tensor:
    """Shifted and scaled to mean 0 and variance 1 where `mask`, 0 elsewhere (Ziegler et al., arXiv 1909.08593): same shape."""
    shifted = values - masked_mean(values, mask)
    return shifted * torch.rsqrt(masked_mean(shifted.square(), mask) + epsilon) * mask


def gae(rewards: Tensor, values: Tensor, mask: Tensor, gamma: float, lam: float) -> tuple[Tensor, Tensor]:
    """Generalised advantage estimates and their returns (arXiv 1506.02438, eq. 16): all (B, T) -> (B, T), (B, T).

        delta_t = r_t + gamma V_(t+1) - V_t
        A_t     = delta_t + gamma lam A_(t+1)
        G_t     = A_t + V_t

    `mask` (B, T) says where there is a token; a program ends after its last one, and there is no value after the end, also
    where it was cut off: it was judged as it stood.
    """
    values = values * mask
    advantages, ahead = torch.zeros_like(values), torch.zeros_like(values[:, 0])
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    deltas = (rewards + gamma * following - values) * mask
    for t in reversed(range(values.shape[1])):
        ahead = deltas[:, t] + gamma * lam * ahead
        advantages[:, t] = ahead
    return advantages, advantages + values


def vtrace(
    logprobs: Tensor,
    behaviour: Tensor,
    rewards: Tensor,
    values: Tensor,
    mask: Tensor,
    gamma: float,
    lam: float,
    rho: float = 1.0,
) -> tuple[Tensor, Tensor]:
    """V-trace targets of the values and advantages for the policy, of programs that another policy wrote.

    IMPALA (arXiv 1802.01561, eq. 1 and section 4.2), all (B, T) -> (B, T), (B, T):

        w_t   = exp(logprobs - behaviour),  rho_t = min(rho, w_t),  c_t = lam min(1, w_t)
        delta = rho_t (r_t + gamma V_(t+1) - V_t)
        v_t   = V_t + delta_t + gamma c_t (v_(t+1) - V_(t+1))
        A_t   = rho_t (r_t + gamma v_(t+1) - V_t)

    With equal policies the targets are TD(lam)'s, and at lam = 1 the advantages are those of `gae`. As in `gae` there is no
    value after the last token of `mask`.
    """
    values = values * mask
    ratio = (logprobs - behaviour).exp() * mask
    rhos, traces = ratio.clamp(max=rho), lam * ratio.clamp(max=1.0)
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    deltas = rhos * (rewards + gamma * following - values)
    excess, ahead = torch.zeros_like(values), torch.zeros_like(values[:, 0])
    for t in reversed(range(values.shape[1])):
        ahead = deltas[:, t] + gamma * traces[:, t] * ahead
        excess[:, t] = ahead
    targets = values + excess
    after = torch.cat([targets[:, 1:], torch.zeros_like(targets[:, :1])], 1)
    return targets, rhos * (rewards + gamma * after - values)


# ------------------------------------------------------------------------------------------------ values, KL, and length


def value_loss(
    values: Tensor,
    old_values: Tensor,
    returns: Tensor,
    mask: Tensor,
    clip: float = 0.0,
    reduction: Reduction = "token_mean",
    constant: float = 1.0,
) -> Tensor:
    """Half the squared error of values, the worse of V and V held within `clip` of what it was (0: of V alone).

    All (B, T) -> scalar. The clip is that of the code of PPO and of Ziegler et al. (arXiv 1909.08593), in no equation of either.
    """
    error = (values - returns).square()
    if clip:
        held = old_values + (values - old_values).clamp(-clip, clip)
        error = torch.maximum(error, (held - returns).square())
    return reduce(0.5 * error, mask, reduction, constant)


def adaptive_kl(coefficient: float, kl: float, target: float, rate: float = 0.1) -> float:
    """The next KL coefficient (Ziegler et al., arXiv 1909.08593, section 2.2).

    beta (1 + rate clip((kl - target) / target, -0.2, 0.2))
    """
    error = min(0.2, max(-0.2, (kl - target) / target))
    return coefficient * (1 + rate * error)


def soft_overlong(lengths: Tensor, limit: float, cache: float) -> Tensor:
    """DAPO's soft punishment of long programs (arXiv 2503.14476, eq. 13), in [-1, 0]: same shape as `lengths`, in tokens.

    0 up to `limit` - `cache`, then falling linearly to -1 at `limit`.
    """
    return ((limit - cache - lengths) / cache).clamp(-1.0, 0.0)


# ---------------------------------------------------------------------------------------------------- path consistency


def discriminator_loss(logits: Tensor, real: Tensor) -> Tensor:
    """The mean of -log D of what is real and -log(1 - D) of what was generated, D = sigmoid(logits).

    Goodfellow et al. 2014 (arXiv 1406.2661), algorithm 1, for the discriminator: with as many of each, one half of both.

    Args:
        logits: (B,).
        real: bool (B,).
    """
    return torch.nn.functional.softplus(torch.where(real, -logits, logits)).mean()


def path_consistency(
    logits: Tensor, target_values: Tensor, tokens: Tensor, rewards: Tensor, mask: Tensor, kind: PathLoss = "both"
) -> Tensor:
    """How far logits, read as soft Q-values, are from path consistency, squared: (B, T), 0 where `mask` is not.

    Soft Q-learning for text (arXiv 2106.07704, section 3.2, and `sql/losses.py` of its code). With V
    the log of the sum of exp Q over tokens, log p = Q - V what softmax gives, and V' a target's:

        vanilla   (Q_t - r_t - V'_(t+1))^2
        single    (log p_t - (r_t + V'_(t+1) - V'_t))^2
        multi     (sum of log p_l for l >= t  -  (sum of r_l for l >= t  -  V'_t))^2
        both      (single + multi) / 2

    There is no value after the last token. All are 0 at p(program) ~ exp(return), whose normaliser
    is the first V. Discount 1, as there; rewards that stand before the end are ours.

    Args:
        logits: (B, T, V).
        target_values: (B, T), V'. A gradient flows through them if they carry one.
        tokens: int64 (B, T).
        rewards: (B, T).
        mask: bool (B, T), where there is a token.
        kind: which of the four.
    """
    chosen = token_values(logits, tokens) if kind == "vanilla" else token_logprobs(logits, tokens)
    return path_error(chosen, target_values, rewards, mask, kind)


def token_values(logits: Tensor, tokens: Tensor) -> Tensor:
    """Q of each token, its logit, in float32: logits (..., V), tokens (...) -> (...)."""
    return logits.float().gather(-1, tokens[..., None])[..., 0]


def path_error(chosen: Tensor, target_values: Tensor, rewards: Tensor, mask: Tensor, kind: PathLoss = "both") -> Tensor:
    """`path_consistency` of what is known of the `chosen` tokens (B, T): Q with "vanilla", else log p."""
    values, rewards = target_values * mask, rewards * mask
    following = torch.cat([values[:, 1:], torch.zeros_like(values[:, :1])], 1)
    if kind == "vanilla":
        return ((chosen - rewards - following) * mask).square()
    logprobs = chosen * mask
    single = ((logprobs - (rewards + following - values)) * mask).square()
    multi = ((_still_to_come(logprobs - rewards) + values) * mask).square()
    return {"single": single, "multi": multi, "both": (single + multi) / 2}[kind]


def info_nce(logits: Tensor, own: Tensor, same: Tensor | None = None) -> Tensor:
    """-log of the share that each row gives its own key among all keys (InfoNCE, arXiv 1807.03748): (n,), in float32.

    Adding one number to a whole row changes nothing, since shares are of the row.

    Args:
        logits: (n, K), how alike each row and key are.
        own: int64 (n,), which key belongs to each row; -1: none does, the row is ignored and its loss 0.
        same: bool (n, K), keys that are no negatives of a row; its own key always counts.
    """
    logits = logits.float()
    if same is not None:
        others = same.scatter(1, own.clamp(min=0)[:, None], False)
        logits = logits.masked_fill(others, -torch.inf)
    return F.cross_entropy(logits, own, ignore_index=-1, reduction="none")


def bilinear(anchors: Tensor, weight: Tensor, keys: Tensor) -> Tensor:
    """a W k for each anchor and key (CPC, arXiv 1807.03748, eq. 3, without its exponential): (n, D), (D, D), (K, D) -> (n, K)."""
    return anchors @ weight @ keys.T


def cosines(queries: Tensor, keys: Tensor) -> Tensor:
    """cos(q, k) in float32: queries (B, D), keys (N, D) -> (B, N). A vector of zeros is at right angles to all."""
    return F.normalize(queries.float(), dim=-1) @ F.normalize(keys.float(), dim=-1).T


def nearest(similarity: Tensor, allowed: Tensor, top: int) -> Tensor:
    """The places of the `top` most similar of the allowed: (B, N), bool (N,) -> int64 (B, top), the nearest first.

    Of equal ones the first comes first. At least `top` must be allowed.
    """
    ordered = similarity.masked_fill(~allowed, -torch.inf).sort(dim=-1, descending=True, stable=True)
    return ordered.indices[:, :top]


def key_loss(similarity: Tensor, chosen: Tensor, weight: float) -> Tensor:
    """What pulls the keys that were chosen towards the queries that chose them (arXiv 2307.02435).

        L = - weight * sum over chosen keys j of cos(q, k_j)         mean over rows

    Args:
        similarity: (B, N), the cosines.
        chosen: int64 (B, K).
        weight: lambda >= 0.
    """
    return -weight * similarity.gather(1, chosen).sum(1).mean()


def _still_to_come(values: Tensor) -> Tensor:
    """The sum of each token's value and of all after it: (B, T) -> (B, T)."""
    return values.flip(1).cumsum(1).flip(1)
