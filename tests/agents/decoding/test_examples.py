"""Decoders that look at public examples: what they are shown, what they never see, what they write and hand in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from small_policies import copy_of

from agents.core import Completion, PublicExamples, TrainingSample
from agents.critics.outcome import Critic
from agents.decoding import best_of_n, critic_sampling
from agents.decoding._choosing import best, likelihood
from agents.decoding.critic_sampling import CriticSampling, kept, logprobs, shares
from agents.decoding.examples import visible_problem
from agents.decoding.sampling import Sampling
from agents.evaluation import evaluate
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from agents.rollout import collect, program_of
from rltf_env import prompts, sandbox
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UnknownName, UsageError

HIDDEN, PUBLIC = CallCase((), "hidden"), CallCase((), "public")
PASSED, FAILED = (
    Verdict((CaseResult(o, f),)) for o, f in ((Outcome.PASSED, None), (Outcome.WRONG_ANSWER, Failure("x")))
)


def problem(id: str, *, examples: bool = True) -> Problem:
    return Problem(
        id, f"Do {id}.", [HIDDEN], "f", [PUBLIC] if examples else [], solutions=["f = 1\n"], held_out=[HIDDEN]
    )


def by_parity(source: str, problem: Problem) -> bool:
    """Half of all programs pass the examples, and none the hidden cases."""
    return problem.cases[0] == PUBLIC and len(source) % 2 == 0


def completion(*logprobs: float, given: int = 0) -> Completion:
    row = np.array(logprobs, np.float32)
    return Completion(np.arange(len(row)), row, row, given, False)


def generator() -> torch.Generator:
    return torch.Generator().manual_seed(0)


@pytest.fixture
def policy() -> CausalPolicy:
    """With room for a repair's prompt."""
    return copy_of(
        tiny.load, width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=512
    )


@pytest.fixture
def env(make_env: Callable[..., UnitTestEnv]) -> UnitTestEnv:
    return make_env(by_parity, problems=[problem("a"), problem("b")])


@pytest.fixture
def critic(policy: CausalPolicy) -> Critic:
    """With an opinion of its own, the same in every run."""
    made = Critic(policy, classes=2)
    with torch.no_grad():
        made.head.weight.normal_(generator=generator())
    return made


def run(policy: CausalPolicy, env: UnitTestEnv, decoder: Any, repeats: int = 2) -> list[Any]:
    problems = [env.source.find("a"), env.source.find("b")]
    return collect(policy, env, problems, decoder, repeats=repeats, generator=generator())


# ---------------------------------------------------------------------------------------------------- what is public


def test_public_side_of_a_problem_has_nothing_hidden() -> None:
    seen = visible_problem(problem("a"))
    assert seen is not None
    assert "hidden" not in repr(seen)
    assert (list(seen.cases), seen.solutions, seen.held_out) == ([PUBLIC], (), ())
    assert visible_problem(problem("a", examples=False)) is None


def test_decoders_are_judged_on_the_examples_alone_and_the_hand_in_on_the_cases(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic
) -> None:
    for decoder in (best_of_n.load(n=4), CriticSampling(critic, 4)):
        before = len(env.sandbox.requests)  # type: ignore[attr-defined]
        run(policy, env, decoder)
        asked = env.sandbox.requests[before:]  # type: ignore[attr-defined]
        assert all("hidden" not in repr(p) for _, p in asked[:-4])
        assert len(asked) == 2 * 2 * 4 + 4  # problems, hand-ins, n; then what was handed in
        assert all(list(p.cases) == [HIDDEN] for _, p in asked[-4:])


def test_plain_decoders_are_called_as_they_are(policy: CausalPolicy, env: UnitTestEnv) -> None:
    groups = run(policy, env, Sampling())
    assert len(env.sandbox.requests) == sum(map(len, groups))  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------------------------- best of n


def test_a_program_that_passes_goes_before_a_likelier_one() -> None:
    group = [completion(-1, -1), completion(-3, -3), completion(-2, -2)]
    assert best(group, [FAILED, PASSED, PASSED]) is group[2]
    assert best(group, [FAILED, FAILED, FAILED]) is group[0]
    assert best(group, [None, None, None]) is group[0]
    assert likelihood(completion(0, -4, -2, given=1)) == -3


def test_best_of_n_hands_in_more_programs_that_pass_the_examples(policy: CausalPolicy, env: UnitTestEnv) -> None:
    def share(decoder: Any) -> float:
        episodes = [e for group in run(policy, env, decoder, 8) for e in group]
        return float(np.mean([len(e.program.text) % 2 == 0 for e in episodes]))

    assert share(Sampling()) < 0.9
    assert share(best_of_n.load(n=16)) == 1.0


def test_best_of_one_is_sampling(policy: CausalPolicy, env: UnitTestEnv) -> None:
    one, plain = run(policy, env, best_of_n.load(n=1)), run(policy, env, Sampling())
    assert [[e.program for e in group] for group in one] == [[e.program for e in group] for group in plain]


def test_without_examples_the_likeliest_is_handed_in(policy: CausalPolicy, make_env: Any) -> None:
    env = make_env(by_parity, problems=[problem("a", examples=False)])
    asked = [env.source.find("a")]
    (group,) = collect(policy, env, asked, Sampling(), repeats=8, generator=generator())
    ((chosen,),) = collect(policy, env, asked, best_of_n.load(n=8), repeats=1, generator=generator())
    assert chosen.logprobs.mean() == max(e.logprobs.mean() for e in group)


def test_evaluation_takes_an_informed_decoder(policy: CausalPolicy, env: UnitTestEnv) -> None:
    result = evaluate(policy, env, [problem("a"), problem("b")], best_of_n.load(n=2), samples=3)
    assert result.passed.tolist() == [0, 0]
    assert result.samples == 3


# --------------------------------------------------------------------------------------------------- critic sampling


@pytest.mark.parametrize(
    ("passed", "given", "expected"),
    [
        ([0.6, 0.9, 0.7, 0.1], 0, 2),  # up to and with the most promising token
        ([0.6, 0.4, 0.9, 0.1], 0, 1),  # but none from the first doubtful one on
        ([0.2, 0.9, 0.9, 0.9], 0, 0),
        ([0.6, 0.7, 0.8, 0.9], 0, 3),  # at least the last one is written anew
        ([0.5, 0.5, 0.5], 0, 1),  # the first of equals; 1/2 is not doubtful
        ([0.1, 0.1, 0.9, 0.8], 2, 3),  # what was given stays
        ([0.1, 0.1, 0.1, 0.8], 2, 2),
        ([0.1], 0, 0),
        ([0.1, 0.1], 2, 2),
    ],
)
def test_kept_prefix(passed: list[float], given: int, expected: int) -> None:
    assert kept(np.array(passed, np.float32), given) == expected


def test_shares_are_even_and_lose_nothing() -> None:
    assert shares(8, 3) == [3, 3, 2]
    assert shares(5, 5) == [1] * 5


def tasks_of(decoder: CriticSampling, policy: CausalPolicy, env: UnitTestEnv, monkeypatch: Any) -> list[Any]:
    """What the second half is asked to write."""
    found: list[Any] = []
    original = CriticSampling._joined
    monkeypatch.setattr(CriticSampling, "_joined", lambda s, p, a, t, n: (found.extend(t), original(s, p, a, t, n))[1])
    run(policy, env, decoder)
    return found


def test_drafts_that_pass_are_refined_from_their_promising_prefix(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.sandbox.rules = lambda source, problem: True  # type: ignore[attr-defined]
    tasks = tasks_of(CriticSampling(critic, 4), policy, env, monkeypatch)
    assert [t.problem for t in tasks] == [0] * 4 + [1] * 4
    assert len({id(t.draft) for t in tasks}) == 8  # N / |P| = 1 from each
    for t in tasks:
        (p,) = critic.probabilities([critic_sampling._sample(t.prompt, t.draft)])
        np.testing.assert_array_equal(t.given, t.draft.tokens[: kept(p[:, -1])])


def test_where_no_draft_passes_the_critics_favourite_is_repaired(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.sandbox.rules = lambda source, problem: "ZeroDivisionError"  # type: ignore[attr-defined]
    env.prompt_style = None
    tasks = tasks_of(CriticSampling(critic, 4), policy, replace_room(env), monkeypatch)
    assert len({id(t.draft) for t in tasks}) == 2  # M = 1 for each problem
    assert not any(len(t.given) for t in tasks)
    text = env.tokenizer.program(tasks[0].prompt).text
    assert text.startswith("Do a.\n\nProgram 1 of 2:\n")
    assert "\n\nResult:\nf() == 'public'\n-> ZeroDivisionError" in text
    assert text.endswith("\n\nProgram 2 of 2, from its beginning:\n")
    two = tasks_of(CriticSampling(critic, 4, repairs=2), policy, env, monkeypatch)
    assert len({id(t.draft) for t in two}) == 4


def replace_room(env: UnitTestEnv) -> UnitTestEnv:
    """Programs short enough for a repair prompt beside them in a tiny context."""
    env.max_program_tokens = 16
    return env


@pytest.mark.parametrize("passing", [True, False])
def test_log_probabilities_are_the_policys_after_the_problems_own_prompt(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, passing: bool
) -> None:
    env.sandbox.rules = lambda source, problem: passing  # type: ignore[attr-defined]
    env.max_program_tokens = 16
    for group in run(policy, env, CriticSampling(critic, 4)):
        for e in group:
            zeros = np.zeros(len(e.program), np.float32)
            sample = TrainingSample(e.prompt, e.program.tokens, e.program.generated_mask, zeros, zeros)
            np.testing.assert_allclose(e.logprobs, logprobs(policy, [sample], 0)[0], atol=1e-4)


def test_given_code_stays_given(policy: CausalPolicy, make_env: Any, critic: Critic) -> None:
    asked = replace(problem("a"), prefix="def f", solutions=[])
    env = make_env(by_parity, problems=[asked], max_program_tokens=30)
    for episode in collect(policy, env, [asked], CriticSampling(critic, 4), repeats=4, generator=generator())[0]:
        assert episode.program.text.startswith("def f")
        assert episode.program.prefix_length == len(env.tokenizer.encode("def f"))


def test_a_draft_that_passes_is_not_thrown_away_for_one_that_does_not() -> None:
    drafts, seconds = [completion(-2)], [completion(-1)]
    handed = critic_sampling._choose
    assert handed(seconds, [FAILED], drafts, [PASSED]) is drafts[0]
    assert handed(seconds, [FAILED], drafts, [FAILED]) is seconds[0]
    assert handed(seconds, [PASSED], drafts, [PASSED]) is seconds[0]


def test_a_draft_whose_verdict_was_lost_is_neither_refined_nor_repaired(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic
) -> None:
    """Of four drafts the judge knows one, each in turn: that it passes, or that it fails."""
    for outcome, refines in ((PASSED, True), (FAILED, False)):
        acted: list[bytes] = []
        for known in range(4):
            tasks = tasks_with([outcome if i == known else None for i in range(4)], policy, env, critic)
            assert [t.refines for t in tasks] == [refines] * 4
            acted += {t.draft.tokens.tobytes() for t in tasks if t.draft}
        assert len(set(acted)) == len(acted) == 4, "the one that the judge knows"
    assert len({id(t.draft) for t in tasks_with([None] * 4, policy, env, critic)}) == 4, "as if there were no examples"


def tasks_with(
    replies: list[Verdict | None], policy: CausalPolicy, env: UnitTestEnv, critic: Critic, **options: Any
) -> list[critic_sampling.Task]:
    """What the second half is asked to write for a problem of whose drafts the judge says this."""
    env.max_prompt_tokens, env.max_program_tokens = 400, 16
    asked: list[critic_sampling.Task] = []

    class Spying(CriticSampling):
        def _joined(self, policy: Any, prompts: Any, tasks: Any, new: Any) -> Any:
            asked.extend(tasks)
            return super()._joined(policy, prompts, tasks, new)

    public = PublicExamples(
        (visible_problem(problem("a")),),
        env.encode_prompt,
        lambda p, c: program_of(env, c),
        lambda jobs: (reply for _, reply in zip(jobs, replies, strict=True)),
    )
    decode = Spying(critic, 2 * len(replies), **options).informed(public)
    decode(
        policy, [env.encode_prompt(problem("a"))], [np.zeros(0, np.int64)], repeats=1, max_tokens=16,
        generator=generator(),
    )  # fmt: skip
    return asked


@pytest.mark.parametrize("second", ["refine", "repair"])
def test_refining_alone_and_repairing_alone_draw_anew_where_the_other_would_act(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, second: str
) -> None:
    passing = tasks_with([PASSED, FAILED], policy, env, critic, second=second)
    failing = tasks_with([FAILED, FAILED], policy, env, critic, second=second)
    own, fresh = (passing, failing) if second == "refine" else (failing, passing)
    assert [t.refines for t in own] == [second == "refine"] * 2
    assert all(t.draft is not None for t in own)
    for t in fresh:
        assert t.draft is None
        np.testing.assert_array_equal(t.prompt, env.encode_prompt(problem("a")))
        assert not len(t.given)
    with pytest.raises(UnknownName, match="both, refine, repair"):
        CriticSampling(critic, second="neither")


def test_a_second_program_whose_verdict_was_lost_does_not_replace_a_draft_that_passes() -> None:
    drafts, seconds = [completion(-2)], [completion(-1)]
    assert critic_sampling._choose(seconds, [None], drafts, [PASSED]) is drafts[0]
    assert critic_sampling._choose(seconds, [None], drafts, [FAILED]) is seconds[0]
    assert critic_sampling._choose(seconds, [None], drafts, [None]) is seconds[0]


def test_critic_is_loaded_from_its_folder(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, tmp_path: Path
) -> None:
    critic.save(tmp_path)
    made = critic_sampling.load(str(tmp_path), device="cpu", temperature=0.6)
    assert made.sampling.temperature == 0.6
    assert [len(group) for group in run(policy, env, made)] == [2, 2]


def test_what_critic_sampling_cannot_work_with_says_so(policy: CausalPolicy, env: UnitTestEnv, critic: Critic) -> None:
    wrong: list[dict[str, Any]] = [{"n": 3}, {"n": 0}, {"repairs": 0}]
    for options in wrong:
        with pytest.raises(UsageError, match="an even n"):
            CriticSampling(critic, **options)
    other = tiny.load(width=16, layers=1, heads=2, vocab_size=300, dataset_options={"size": 4})
    with pytest.raises(UsageError, match="the policy's tokenizer"):
        run(policy, env, CriticSampling(Critic(other)))
    with pytest.raises(UsageError, match="n >= 1"):
        best_of_n.load(n=0)


def test_a_style_without_statement_cannot_ask_for_a_repair(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic
) -> None:
    env.sandbox.rules = lambda source, problem: False  # type: ignore[attr-defined]
    env.prompt_style = lambda problem: "Write f.\n"
    with pytest.raises(UsageError, match="a problem's statement"):
        run(policy, env, CriticSampling(critic, 2))


def test_a_program_too_long_to_be_shown_loses_its_last_lines(policy: CausalPolicy, env: UnitTestEnv) -> None:
    encode = env.tokenizer.encode

    class Side:
        encode = staticmethod(lambda p: np.array(encode(prompts.render(p, "statement")), np.int64))

    asked, text = problem("a"), "x = 1\n" * 50
    short = critic_sampling._repair_prompt(Side(), asked, text, FAILED, 160)  # type: ignore[arg-type]
    assert short is not None
    assert len(short) <= 160
    assert env.tokenizer.program(short).text.count("x = 1") > 3
    assert critic_sampling._repair_prompt(Side(), asked, text, FAILED, 5) is None  # type: ignore[arg-type]


def test_where_a_repair_has_no_room_a_draft_is_refined(
    policy: CausalPolicy, env: UnitTestEnv, critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    env.sandbox.rules = lambda source, problem: False  # type: ignore[attr-defined]
    monkeypatch.setattr(critic_sampling, "_context", lambda policy: env.max_program_tokens + 1)
    tasks: list[critic_sampling.Task] = []
    joined = CriticSampling._joined
    monkeypatch.setattr(CriticSampling, "_joined", lambda self, *a: (tasks.extend(a[2]), joined(self, *a))[1])
    run(policy, env, CriticSampling(critic, 2))
    assert tasks
    assert all(task.refines for task in tasks)


def test_what_is_kept_of_a_draft_does_not_begin_its_stop_string(policy: CausalPolicy, critic: Critic) -> None:
    tokens = np.array(policy.tokenizer.encode("x = 1\n##"), np.int64)
    nothing = np.zeros(len(tokens), np.float32)
    draft = Completion(tokens, nothing, nothing, 0, False, kept=len("x = 1\n"))
    assert policy.tokenizer.decode(tokens[: CriticSampling(critic, 2)._before_stop(draft)]) == "x = 1\n"
    assert CriticSampling(critic, 2)._before_stop(replace(draft, kept=None)) == len(tokens)


def test_real_judge_tries_examples(policy: CausalPolicy, make_env: Any) -> None:
    """The whole way with a judge that runs programs."""
    from rltf_env.env import UnitTestEnv as Env
    from rltf_env.tokenizers import HuggingFace

    with sandbox.load(workers=1) as judge:
        env = Env([problem("a")], sandbox=judge, tokenizer=HuggingFace(policy.tokenizer), max_program_tokens=8)
        ((episode,),) = collect(policy, env, [problem("a")], best_of_n.load(n=2), repeats=1, generator=generator())
    assert episode.verdict.outcome is not Outcome.PASSED
