"""What is sampled, from what, and what is said of it."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.core import Completion, Policy
from agents.decoding.sampling import Sampling, load, warp
from agents.engines.own import MAX_PADDING, similar_length_chunks
from agents.policies.causal import CausalPolicy
from rltf_env.errors import UsageError

NONE = np.array([], np.int64)


def generator(seed: int = 0) -> torch.Generator:
    made = torch.Generator()
    made.manual_seed(seed)
    return made


def ids(*tokens: int) -> np.ndarray:
    return np.array(tokens, np.int64)


def write(policy: Any, prompts: Sequence[np.ndarray], given: Sequence[np.ndarray] | None = None, **options: Any):
    call: dict[str, Any] = {"repeats": 1, "max_tokens": 20, "seed": 0} | options
    sampling = Sampling(**{k: v for k, v in call.items() if k in ("temperature", "top_p", "top_k", "rows")})
    return sampling(
        policy,
        prompts,
        [NONE] * len(prompts) if given is None else given,
        repeats=call["repeats"],
        max_tokens=call["max_tokens"],
        generator=generator(call["seed"]),
    )


class Scripted:
    """A policy whose next token depends on the row's last token alone: token t is followed by t - 1, and 0 ends."""

    eos_id = pad_id = 0

    def __init__(self, size: int = 40, sharpness: float = 60.0) -> None:
        self.model = SimpleNamespace(training=False, eval=lambda: None, train=lambda mode: None)
        self.table = torch.full((size, size), 0.0)
        self.table[torch.arange(1, size), torch.arange(size - 1)] = sharpness
        self.widths: list[int] = []

    def begin(self, prompts: Any, given: Any, repeats: int = 1) -> tuple[Any, Tensor]:
        last = torch.tensor([int(np.concatenate(pair)[-1]) for pair in zip(prompts, given, strict=True)])
        state = SimpleNamespace(last=last.repeat_interleave(repeats))
        self.widths.append(len(state.last))
        return state, self.table[state.last]

    def extend(self, state: Any, tokens: Tensor) -> Tensor:
        assert len(tokens) == len(state.last)
        state.last = tokens
        self.widths.append(len(tokens))
        return self.table[tokens]

    def keep(self, state: Any, rows: Tensor) -> None:
        state.last = state.last[rows]


def tokens(groups: list[list[Completion]]) -> list[list[list[int]]]:
    return [[c.tokens.tolist() for c in group] for group in groups]


# ------------------------------------------------------------------------------------------------------------- greedy


def test_greedy_is_the_models_own_generate(policy: CausalPolicy) -> None:
    prompts = [ids(40, 50, 60), ids(70), ids(3, 4, 5, 6, 7, 8, 9)]
    mine = write(policy, prompts, temperature=0.0, max_tokens=30)
    for prompt, [completion] in zip(prompts, mine, strict=True):
        inputs = torch.from_numpy(prompt)[None]
        theirs = policy.model.generate(
            inputs,
            attention_mask=torch.ones_like(inputs),
            do_sample=False,
            max_new_tokens=30,
            pad_token_id=policy.pad_id,
        )
        assert completion.tokens.tolist() == theirs[0, len(prompt) :].tolist()


def test_greedy_has_behaviour_of_probability_one_and_its_own_logprobs(policy: CausalPolicy) -> None:
    [[c]] = write(policy, [ids(40, 50)], temperature=0.0)
    assert (c.behaviour_logprobs == 0).all()
    assert (c.logprobs < 0).all()


# ------------------------------------------------------------------------------------------------------ distributions


def reference(p: np.ndarray, temperature: float, top_p: float, top_k: int) -> np.ndarray:
    """One distribution, slowly and by the definition."""
    p = p ** (1 / temperature)
    p = p / p.sum()
    order = sorted(range(len(p)), key=lambda i: -p[i])
    if top_k:
        order = order[:top_k]
        p = np.array([p[i] if i in order else 0.0 for i in range(len(p))])
        p = p / p.sum()
    kept, mass = [], 0.0
    for i in order:
        if mass >= top_p:
            break
        kept.append(i)
        mass += p[i]
    q = np.array([p[i] if i in kept else 0.0 for i in range(len(p))])
    return q / q.sum()


@pytest.mark.parametrize("temperature", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("top_p", [0.3, 0.8, 1.0])
@pytest.mark.parametrize("top_k", [0, 1, 3, 99])
def test_warp_is_the_slow_reference(temperature: float, top_p: float, top_k: int) -> None:
    p = np.random.default_rng(0).dirichlet(np.ones(7) * 0.5, size=5)
    warped = warp(torch.from_numpy(p).log(), temperature, top_p, top_k).exp().numpy()
    np.testing.assert_allclose(warped, [reference(row, temperature, top_p, top_k) for row in p], atol=1e-9)


def test_min_p_keeps_what_is_not_much_less_likely_than_the_best() -> None:
    logp = torch.tensor([[0.5, 0.25, 0.15, 0.1]]).log()
    assert (warp(logp, min_p=0.49).exp() > 0).tolist() == [[True, True, False, False]]
    torch.testing.assert_close(warp(logp, min_p=0.29).exp(), torch.tensor([[50.0, 25.0, 15.0, 0.0]]) / 90)
    assert torch.equal(warp(logp, min_p=1.0).exp(), torch.tensor([[1.0, 0.0, 0.0, 0.0]]))
    for wrong in (-0.1, 1.1):
        with pytest.raises(UsageError, match="min_p"):
            load(min_p=wrong)


def test_nucleus_is_the_smallest_set_that_reaches_top_p() -> None:
    logp = torch.tensor([[0.5, 0.25, 0.125, 0.125]]).log()
    assert (warp(logp, top_p=0.75).exp() > 0).tolist() == [[True, True, False, False]]
    assert (warp(logp, top_p=0.76).exp() > 0).tolist() == [[True, True, True, False]]
    assert (warp(logp, top_p=1e-9).exp() > 0).tolist() == [[True, False, False, False]]


@pytest.mark.parametrize("options", [{"temperature": 1.0}, {"temperature": 0.5, "top_p": 0.9}, {"top_k": 2}])
def test_frequencies_are_those_of_the_warped_distribution(options: dict[str, Any]) -> None:
    fake = Scripted(4)
    fake.table[3] = torch.tensor([0.1, 0.2, 0.3, 0.4]).log()
    n = 20_000
    [group] = write(fake, [ids(3)], repeats=n, rows=n, max_tokens=1, **options)
    seen = np.bincount([c.tokens[0] for c in group], minlength=4) / n
    options = {"temperature": 1.0, "top_p": 1.0, "top_k": 0} | options
    expected = reference(np.array([0.1, 0.2, 0.3, 0.4]), **options)
    assert np.abs(seen - expected).max() < 4 * np.sqrt(0.25 / n)
    for c in group[:50]:
        assert c.behaviour_logprobs[0] == pytest.approx(np.log(expected[c.tokens[0]]), abs=1e-5)
        assert c.logprobs[0] == pytest.approx(np.log([0.1, 0.2, 0.3, 0.4][c.tokens[0]]), abs=1e-5)


def test_plain_sampling_draws_from_the_policy_itself(policy: CausalPolicy) -> None:
    [group] = write(policy, [ids(40, 50)], repeats=3)
    for c in group:
        np.testing.assert_array_equal(c.logprobs, c.behaviour_logprobs)


# ------------------------------------------------------------------------------------------------- order, limits, ends


def test_same_generator_same_programs(policy: CausalPolicy) -> None:
    prompts = [ids(40, 50, 60), ids(70)]
    first = write(policy, prompts, repeats=3, seed=5)
    assert tokens(first) == tokens(write(policy, prompts, repeats=3, seed=5))
    assert tokens(first) != tokens(write(policy, prompts, repeats=3, seed=6))


def test_torchs_global_generator_is_left_alone(policy: CausalPolicy) -> None:
    before = torch.random.get_rng_state()
    write(policy, [ids(40)], repeats=4)
    assert torch.equal(before, torch.random.get_rng_state())


@pytest.mark.parametrize("rows", [1, 2, 3, 5, 256])
def test_answers_come_in_the_order_of_the_questions(rows: int) -> None:
    prompts = [ids(9), ids(1, 1, 1, 4), ids(1, 7), ids(1, 1, 3), ids(12)]  # not sorted by length
    groups = write(Scripted(), prompts, repeats=3, rows=rows)
    assert tokens(groups) == [[list(range(p[-1] - 1, -1, -1))] * 3 for p in prompts]


@pytest.mark.parametrize(("rows", "repeats"), [(1, 3), (2, 5), (4, 4), (7, 3)])
def test_never_more_rows_at_once_than_asked_for(rows: int, repeats: int) -> None:
    fake = Scripted()
    groups = write(fake, [ids(5), ids(6), ids(7)], repeats=repeats, rows=rows)
    assert max(fake.widths) <= rows
    assert [len(group) for group in groups] == [repeats] * 3


def test_finished_rows_leave_the_cache_and_the_others_go_on() -> None:
    fake = Scripted()
    prompts = [ids(n) for n in (2, 3, 4, 5, 6, 38)]
    groups = write(fake, prompts, max_tokens=60)
    assert tokens(groups) == [[list(range(p[0] - 1, -1, -1))] for p in prompts]
    assert fake.widths[0] == 6
    assert fake.widths[-1] == 1


def test_dropping_rows_changes_no_other_row(policy: CausalPolicy, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the rows end at once, since their end token is made likely; the rest must read as if nothing happened."""
    prompts = [ids(40, 50), ids(60, 70, 80)] * 4
    policy.eos_id = int(write(policy, prompts[:1], temperature=0.0)[0][0].tokens[2])
    dropped: list[int] = []
    keep = CausalPolicy.keep
    monkeypatch.setattr(
        CausalPolicy, "keep", lambda self, state, rows: dropped.append(len(rows)) or keep(self, state, rows)
    )
    together = write(policy, prompts, temperature=0.0, max_tokens=40)
    assert dropped
    assert tokens(together) == [tokens(write(policy, [p], temperature=0.0, max_tokens=40))[0] for p in prompts]


def test_end_token_is_included_and_nothing_follows() -> None:
    [[c]] = write(Scripted(), [ids(4)])
    assert c.tokens.tolist() == [3, 2, 1, 0]
    assert not c.truncated
    assert len(c.logprobs) == len(c.behaviour_logprobs) == 4


def test_cut_off_at_the_limit_is_truncated() -> None:
    [[short], [exact], [long]] = write(Scripted(), [ids(4), ids(5), ids(6)], max_tokens=5)
    assert (len(short.tokens), short.truncated) == (4, False)
    assert (len(exact.tokens), exact.truncated) == (5, False)
    assert (exact.tokens[-1], len(long.tokens), long.truncated) == (0, 5, True)


def test_given_tokens_count_towards_the_limit_and_say_nothing() -> None:
    given = [ids(9, 8, 7), NONE]
    [[c], [free]] = write(Scripted(), [ids(1), ids(30)], given, max_tokens=5)
    assert c.tokens.tolist() == [9, 8, 7, 6, 5]
    assert c.truncated
    assert c.given == 3
    assert (c.logprobs[:3] == 0).all()
    assert (c.behaviour_logprobs[:3] == 0).all()
    assert free.tokens.tolist() == [29, 28, 27, 26, 25]


def test_given_tokens_alone_are_enough(policy: CausalPolicy) -> None:
    [[c]] = write(policy, [NONE], [ids(40, 50)])
    [[same]] = write(policy, [ids(40, 50)])
    assert c.tokens[2:].tolist() == same.tokens[:18].tolist()


def test_nothing_to_write_after_is_an_error(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match="got neither"):
        write(policy, [ids(40), NONE])


def test_given_tokens_that_leave_no_room_are_an_error(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match="leave room within 3 tokens, got 3"):
        write(policy, [ids(40)], [ids(1, 2, 3)], max_tokens=3)


def test_no_prompts_no_answers(policy: CausalPolicy) -> None:
    assert write(policy, []) == []


def test_training_mode_is_given_back(policy: CausalPolicy) -> None:
    policy.model.train()
    write(policy, [ids(40)])
    assert policy.model.training
    policy.model.eval()
    write(policy, [ids(40)])
    assert not policy.model.training


@pytest.mark.parametrize(
    "options",
    [{"temperature": -1.0}, {"temperature": float("nan")}, {"top_p": 0.0}, {"top_p": 1.5}, {"top_k": -1}, {"rows": 0}],
)
def test_impossible_options_are_refused(options: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="Expected a finite temperature"):
        load(**options)


def test_no_programs_at_all_are_refused(policy: CausalPolicy) -> None:
    with pytest.raises(UsageError, match="repeats=0"):
        write(cast(Policy[Any], policy), [ids(40)], repeats=0)


# --------------------------------------------------------------------------------------------- what is written together


def test_rows_of_like_size_share_a_call() -> None:
    assert [c.tolist() for c in similar_length_chunks([5, 1, 4, 2, 3], 2)] == [[1, 3], [4, 2], [0]]
    assert [c.tolist() for c in similar_length_chunks([5, 1, 4, 2, 3], 9)] == [[1, 3, 4, 2, 0]], (
        "what little is padded costs nothing"
    )
    assert list(similar_length_chunks([], 3)) == []


def test_one_long_prompt_is_not_what_all_others_are_padded_to() -> None:
    sizes = [200 + i for i in range(50)]
    assert [len(c) for c in similar_length_chunks([*sizes, 4000, *sizes], 64)] == [64, 36, 1]
    assert [len(c) for c in similar_length_chunks([*sizes, 220 + MAX_PADDING // 64], 64)] == [51], (
        "as long as it is not much"
    )


def test_the_order_of_answers_is_that_of_the_questions() -> None:
    long, short = np.full(MAX_PADDING, 9), ids(9)
    answers = write(Scripted(), [long, *[short] * 9, long], temperature=0.0, max_tokens=3)
    assert [len(a) for a in answers] == [1] * 11
    assert all((a[0].tokens == ids(8, 7, 6)).all() for a in answers)
