"""Public contracts of learning, the counterpart of `rltf_env.testing`: `check_policy`, `check_agent`, `check_learning`.

A policy or an agent of your own is right when its check passes. Each raises `AssertionError` with what was expected and what
came. All are quick on a small model and need neither data nor a judge of programs.
"""

from __future__ import annotations

import copy
import io
import tempfile
import zlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from agents.batching import batch
from agents.core import Agent, Completion, Policy, TrainingSample, rngs
from agents.decoding.sampling import Sampling
from agents.functional import token_logprobs
from agents.policies import _folder, tiny
from agents.policies.causal import CausalPolicy
from agents.policies.value_head import state_width
from rltf_env import plugins, sandbox
from rltf_env.core import Attempt, CallCase, Feedback, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.tokenizers import HuggingFace

Make = Callable[[Policy[Any], UnitTestEnv, int], Agent]

# ----------------------------------------------------------------------------------------------------------- policies

LENGTHS = ((5, 0), (0, 3), (1, 2), (9, 0), (3, 4))  # (prompt, given) tokens of each row


def check_policy(policy: Policy[Any], *, tolerance: float = 1e-4, max_tokens: int = 12) -> None:
    """Checks a policy: what it says of a program afterwards is what it said when it wrote it, whatever stood beside it.

    `logits` must give the log-probabilities of sampled tokens to `tolerance` in any batch; rows that are dropped with `keep`
    must leave the others as they are; only tokens of the tokenizer may be written; the saved folder must load
    as an equal policy; the weights and the global random generator must be left alone.

    Args:
        tolerance: in nats; 1e-4 suits float32.
        max_tokens: length of the programs that are written.
    """
    weights = {name: tensor.clone() for name, tensor in policy.model.state_dict().items()}
    before = torch.random.get_rng_state()
    prompts, given = _questions(policy)
    answers = Sampling()(policy, prompts, given, repeats=2, max_tokens=max_tokens, generator=rngs(0, policy.device)[1])
    samples = [_sample(p, c) for p, group in zip(prompts, answers, strict=True) for c in group]
    vocabulary = len(policy.tokenizer)
    for sample in samples:
        assert sample.tokens.max() < vocabulary, f"Expected ids below {vocabulary}, got {sample.tokens.max()}."
    for rows in _batches(len(samples)):
        _check_evaluation(policy, [samples[i] for i in rows], tolerance)
    _check_keep(policy, prompts, given, tolerance)
    _check_saved(policy, samples, tolerance)
    assert torch.equal(before, torch.random.get_rng_state()), "Expected torch's global generator to be left alone."
    for name, tensor in policy.model.state_dict().items():
        assert torch.equal(tensor, weights[name]), f"Expected reading and writing to change no weight, but {name} did."


def _questions(policy: Policy[Any]) -> tuple[list[np.ndarray], list[np.ndarray]]:
    rng = np.random.default_rng(0)
    others = [i for i in range(len(policy.tokenizer)) if i not in (policy.eos_id, policy.pad_id)]
    pairs = [(rng.choice(others, p), rng.choice(others, g)) for p, g in LENGTHS]
    return [p.astype(np.int64) for p, _ in pairs], [g.astype(np.int64) for _, g in pairs]


def _sample(prompt: np.ndarray, c: Completion) -> TrainingSample:
    learn = np.arange(len(c.tokens)) >= c.given
    return TrainingSample(prompt, c.tokens, learn, np.zeros(len(c.tokens), np.float32), c.logprobs)


def _batches(count: int) -> list[Sequence[int]]:
    """All together, backwards, in halves, each alone."""
    half = count // 2
    return [range(count), range(count)[::-1], range(half), range(half, count), *([i] for i in range(count))]


@torch.no_grad()
def _check_evaluation(policy: Policy[Any], samples: Sequence[TrainingSample], tolerance: float) -> None:
    data = batch(samples, policy.pad_id).to(policy.device)
    logits = policy.logits(data)
    shape = (*data.tokens.shape, len(policy.tokenizer))
    assert logits.shape == shape, f"Expected logits of shape {shape}, got {tuple(logits.shape)}."
    again, states = policy.read(data)
    assert torch.equal(again, logits), "Expected `read` to give the logits of `logits`, got others."
    width = state_width(policy)
    assert states.shape == (*data.tokens.shape, width), f"Expected states (B, T, {width}), got {tuple(states.shape)}."
    gaps = (token_logprobs(logits, data.tokens) - data.old_logprobs).abs() * data.loss_mask
    lengths = [(len(s.prompt), int((~s.loss_mask).sum())) for s in samples]
    assert bool((gaps <= tolerance).all()), (
        f"Expected the log-probabilities of sampling to {tolerance}, got gaps of {gaps.amax(1).tolist()} nats in a batch of "
        f"{len(samples)} whose (prompt, given) lengths are {lengths}."
    )


@torch.no_grad()
def _check_keep(
    policy: Policy[Any], prompts: Sequence[np.ndarray], given: Sequence[np.ndarray], tolerance: float
) -> None:
    rows = torch.tensor([4, 1, 0], device=policy.device)
    token = torch.full((len(prompts),), int(prompts[0][0]), device=policy.device)

    def tokens(drop: bool) -> Tensor:
        state, _ = policy.begin(prompts, given)
        policy.extend(state, token)
        if drop:
            policy.keep(state, rows)
        logits = policy.extend(state, token[: len(rows)] if drop else token)
        return logits if drop else logits[rows]

    gap = float((tokens(True) - tokens(False)).abs().max())
    assert gap <= tolerance, f"Expected rows {rows.tolist()} to read on as before when kept, got logits {gap} apart."


@torch.no_grad()
def _check_saved(policy: Policy[Any], samples: Sequence[TrainingSample], tolerance: float) -> None:
    with tempfile.TemporaryDirectory() as folder:
        policy.save(Path(folder))
        dtype = str(next(policy.model.parameters()).dtype).removeprefix("torch.")
        load = plugins.find("policies", _folder.kind(folder), package="agents")
        again = load(folder, dtype=dtype, device=str(policy.device))
        names = (
            (policy.eos_id, policy.pad_id, len(policy.tokenizer)),
            (again.eos_id, again.pad_id, len(again.tokenizer)),
        )
        assert names[0] == names[1], f"Expected (end, padding, tokens) {names[0]} after saving, got {names[1]}."
        data = batch(samples, policy.pad_id).to(policy.device)
        gap = float(((policy.logits(data) - again.logits(data)).abs() * data.loss_mask[..., None]).max())
        assert gap <= tolerance, f"Expected equal logits after saving, got {gap} apart."


# ------------------------------------------------------------------------------------------------------------- agents


def check_agent(make: Make, *, updates: int = 4, extreme: float = 1e6) -> None:
    """Checks an agent: finite, repeatable, and continued from its state to the bit.

    Args:
        make: builds a fresh agent from a policy, an environment and a seed: `lambda policy, env, seed: ...`. It is given a
            tiny random policy and an environment of a few problems whose programs are judged by a rule.
        updates: of each run that is compared.
        extreme: size of rewards that no update may choke on.
    """
    before = torch.random.get_rng_state()
    first, second = (_agent(make, seed=0) for _ in range(2))
    assert isinstance(first, Agent), f"Expected update, state_dict and load_state_dict, got {type(first).__name__}."
    start = _frozen(first)
    lines = _run(first, updates)
    _assert_equal(lines, _run(second, updates), "metrics of two runs with one seed")
    middle = _frozen(first)
    _assert_equal(middle, _frozen(second), "state after two runs with one seed")
    assert not _equal(start["weights"], middle["weights"]), "Expected updates to change the weights, got the same."
    third = _agent(make, seed=1)  # of another seed: all that it does must come from the state
    third.load_state_dict(middle["state"])
    _assert_equal(_frozen(third)["state"], middle["state"], "state that was loaded")
    _assert_equal(_run(first, updates), _run(third, updates), "metrics of a continued run")
    _assert_equal(_frozen(first), _frozen(third), "state of a continued run")
    hard = _agent(make, seed=0, scale=extreme)
    _run(hard, updates)
    assert torch.equal(before, torch.random.get_rng_state()), "Expected torch's global generator to be left alone."


def _agent(make: Make, seed: int, scale: float = 1.0) -> Agent:
    policy = copy.deepcopy(_policy(vocab_size=300, examples=16, seed=0))
    env = UnitTestEnv(
        [
            Problem(f"p{i}", f"Give {i}.", [CallCase((), i)] * 2, "f", solutions=[f"def f():\n    return {i}\n"])
            for i in range(4)
        ],
        reward=Extreme(scale),
        sandbox=sandbox.load("scripted", rules=by_checksum),
        tokenizer=HuggingFace(policy.tokenizer),
        max_prompt_tokens=32,
        max_program_tokens=24,
    )
    return make(policy, env, seed)


@cache
def _policy(vocab_size: int, examples: int, seed: int) -> CausalPolicy:
    """A random one, loaded once in a process: every agent that is checked learns with a copy."""
    sizes: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": vocab_size, "max_positions": 64}
    return tiny.load(**sizes, dataset_options={"size": examples}, seed=seed)


def by_checksum(source: str, problem: Problem) -> list[Outcome]:
    """A rule for the scripted sandbox: any outcome, decided by the program's text alone."""
    code = zlib.crc32(source.encode())
    return [Outcome((code >> 2 * i) % 4) for i in range(len(problem.cases))]


@dataclass(frozen=True)
class Extreme:
    """A comparative reward as wide as `scale`: -scale to scale for the whole program, and as much on its last token."""

    scale: float

    def value(self, verdict: Verdict) -> float:
        """Of any program with this verdict."""
        return self.scale * (int(verdict.outcome) - 1.5 + verdict.pass_ratio)

    def __call__(self, attempt: Attempt) -> Feedback:
        return self._feedback(attempt, self.value(attempt.verdict))

    def relative(self, attempt: Attempt, baseline: Verdict) -> Feedback:
        """The whole program's value less the baseline's."""
        return self._feedback(attempt, self.value(attempt.verdict) - self.value(baseline))

    def _feedback(self, attempt: Attempt, value: float) -> Feedback:
        last = np.zeros(len(attempt.program), np.float32)
        last[-1] = -self.scale
        return Feedback.build(attempt.program, "extreme", program_reward=value, tokens=last)


LOOK_EVERY = 10  # updates between looks at what was learnt


def check_learning(make: Make, *, updates: int = 40, seeds: Sequence[int] = (0, 1, 2), gain: float = 0.25) -> None:
    """Checks that an agent learns: on a toy task it comes to do what is rewarded, from each of several random policies.

    A program of at most four tokens passes when its first character is one of every fourth; the reference of each problem is
    such a character. What is measured is no sample but the probability, given by the policy itself, that the first token spells
    one: an agent that does nothing gains exactly nothing.

    Args:
        make: as for `check_agent`; its learning rate must suit a model of a few thousand weights (2e-2, say).
        updates: that it is given, at the most.
        seeds: of policy and agent.
        gain: of that probability, which is about a sixth at first.
    """
    for seed in seeds:
        policy, env = _toy(seed)
        agent, before = make(policy, env, seed), mastery(policy, env)
        after, done = before, 0
        while after - before < gain and done < updates:
            _run(agent, LOOK_EVERY)
            after, done = mastery(policy, env), done + LOOK_EVERY
        assert after - before >= gain, (
            f"Expected a gain of at least {gain} in {updates} updates with seed {seed}, got {before:.2f} before and "
            f"{after:.2f} after."
        )


def _toy(seed: int) -> tuple[CausalPolicy, UnitTestEnv]:
    policy = copy.deepcopy(_policy(vocab_size=280, examples=4, seed=seed))
    problems = [Problem(f"p{i}", f"Say {i}.", [CallCase((), i)], "f", solutions=["D"]) for i in range(2)]
    judge = sandbox.load("scripted", rules=lambda source, problem: _masters(source))
    env = UnitTestEnv(
        problems, reward="coarse", sandbox=judge, tokenizer=HuggingFace(policy.tokenizer), max_prompt_tokens=32,
        max_program_tokens=4,
    )  # fmt: skip
    return policy, env


def _masters(text: str) -> bool:
    return bool(text) and ord(text[0]) % 4 == 0


@torch.no_grad()
def mastery(policy: Policy[Any], env: UnitTestEnv) -> float:
    """The probability that the first token begins a program that passes in the toy task, mean over its problems."""
    tokens = range(len(policy.tokenizer))
    right = torch.tensor([_masters(env.tokenizer.program([t]).text) for t in tokens], device=policy.device)
    prompts = [env.encode_prompt(env.source.find(f"p{i}")) for i in range(2)]
    _, logits = policy.begin(prompts, [np.zeros(0, np.int64)] * 2)
    return float(logits.float().softmax(-1)[:, right].sum(-1).mean())


def _run(agent: Agent, updates: int) -> list[dict[str, float]]:
    lines = [agent.update() for _ in range(updates)]
    for number, line in enumerate(lines):
        wrong = {name: value for name, value in line.items() if not np.isfinite(value)}
        assert not wrong, f"Expected finite metrics, got {wrong} at update {number}."
    wrong = [name for name, t in _tensors(agent.state_dict()) if t.is_floating_point() and not t.isfinite().all()]
    assert not wrong, f"Expected finite weights and state, got others in {wrong}."
    return lines


def _frozen(agent: Agent) -> dict[str, Any]:
    """The state as a checkpoint would give it back, and the weights in it."""
    file = io.BytesIO()
    torch.save(agent.state_dict(), file)
    file.seek(0)
    state = torch.load(file, weights_only=True)
    return {"state": state, "weights": [t for _, t in _tensors(state) if t.is_floating_point()]}


def _tensors(value: Any, name: str = "state") -> list[tuple[str, Tensor]]:
    if isinstance(value, Tensor):
        return [(name, value)]
    if isinstance(value, Mapping):
        return [pair for key, item in value.items() for pair in _tensors(item, f"{name}.{key}")]
    if isinstance(value, (list, tuple)):
        return [pair for i, item in enumerate(value) for pair in _tensors(item, f"{name}[{i}]")]
    return []


def _equal(a: Any, b: Any) -> bool:
    if isinstance(a, Tensor) and isinstance(b, Tensor):
        return a.dtype == b.dtype and torch.equal(a, b)
    if isinstance(a, Mapping) and isinstance(b, Mapping):
        return a.keys() == b.keys() and all(_equal(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)) and isinstance(b, (list, tuple)):
        return len(a) == len(b) and all(map(_equal, a, b))
    return type(a) is type(b) and a == b


def _assert_equal(a: Any, b: Any, what: str) -> None:
    if isinstance(a, Mapping) and isinstance(b, Mapping) and a.keys() == b.keys():
        for key in a:
            _assert_equal(a[key], b[key], f"{what}: {key}")
    assert _equal(a, b), f"Expected equal {what}, got {str(a)[:200]} and {str(b)[:200]}."
