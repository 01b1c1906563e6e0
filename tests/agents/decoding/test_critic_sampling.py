"""Critic sampling piece by piece: what the critic is asked, how much a prompt may take, and what a second program says of itself.

How the pieces act together is in `test_examples.py`.
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from agents.core import Completion
from agents.critics.outcome import Critic
from agents.decoding import critic_sampling
from agents.decoding._choosing import likelihood
from agents.decoding.critic_sampling import CriticSampling, Task
from agents.learning.reference import logprobs
from agents.policies.causal import CausalPolicy
from rltf_env.core import CallCase, CaseResult, Failure, Outcome, Problem, Verdict

PROMPT = np.array([40, 41])
NONE = np.array([], np.int64)
FAILED = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("x")),))


def written(tokens: list[int], own: list[float], drawn: list[float], given: int = 0) -> Completion:
    return Completion(np.array(tokens), np.array(own, np.float32), np.array(drawn, np.float32), given, False)


@pytest.fixture
def critic(policy: CausalPolicy) -> Critic:
    return Critic(policy, classes=2)


def test_a_programs_likelihood_is_the_policys_and_not_that_of_the_draw() -> None:
    assert likelihood(written([1, 2], [-3.0, -1.0], [-0.5, -0.5])) == -2.0


def test_a_refined_program_has_its_drafts_probabilities_as_far_as_it_was_kept(
    policy: CausalPolicy, critic: Critic
) -> None:
    draft = written([60, 70, 80, 90], [0.0, -2.0, -3.0, -4.0], [0.0, -0.2, -0.3, -0.4], given=1)
    second = written([60, 70, 99], [0.0, 0.0, -5.0], [0.0, 0.0, -0.5], given=2)
    task = Task(0, PROMPT, draft.tokens[:2], draft, True)
    (joined,) = CriticSampling(critic)._joined(policy, [PROMPT], [task], [second])
    assert joined.tokens.tolist() == [60, 70, 99]
    assert joined.logprobs.tolist() == [0.0, -2.0, -5.0]
    assert joined.behaviour_logprobs.tolist() == pytest.approx([0.0, -0.2, -0.5])
    assert joined.given == 1, "what was kept was chosen once"


def test_a_repaired_program_has_the_policys_probabilities_after_the_problems_own_prompt(
    policy: CausalPolicy, critic: Critic
) -> None:
    other, draft = np.array([50, 51, 52]), written([60, 61], [0.0, -1.0], [0.0, -1.0], given=1)
    second = written([60, 70, 80], [0.0, -7.0, -7.0], [0.0, -0.7, -0.7], given=1)
    (joined,) = CriticSampling(critic)._joined(
        policy, [PROMPT], [Task(0, other, second.tokens[:1], draft, False)], [second]
    )
    own = logprobs(policy, [critic_sampling._sample(PROMPT, second)], 0)[0]
    np.testing.assert_allclose(joined.logprobs, [0.0, *own[1:]], rtol=1e-5)
    np.testing.assert_array_equal(joined.behaviour_logprobs, second.behaviour_logprobs)


def test_what_a_draft_is_refined_from_ends_before_its_stop_string(
    policy: CausalPolicy, critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A critic that is surer with each token would keep all but the last one."""
    tokens = policy.tokenizer.encode("x = 1\n##")
    nothing = np.zeros(len(tokens), np.float32)
    rising = np.stack([np.linspace(0.4, 0.1, len(tokens)), np.linspace(0.6, 0.9, len(tokens))], 1)
    monkeypatch.setattr(critic, "probabilities", lambda samples: [rising for _ in samples])
    starts = []
    for kept in (len("x = 1\n"), None):
        draft = Completion(np.array(tokens), nothing, nothing, 0, False, kept=kept)
        (task,) = CriticSampling(critic)._refine(0, PROMPT, [draft], 1)
        starts.append(policy.tokenizer.decode(task.given))
    assert starts == ["x = 1\n", policy.tokenizer.decode(tokens[:-1])]


def test_the_drafts_that_likeliest_pass_are_repaired(critic: Critic, monkeypatch: pytest.MonkeyPatch) -> None:
    """p(passed) is the last class; of three drafts the second has the highest."""
    monkeypatch.setattr(critic, "judgements", lambda samples: np.array([[0.9, 0.1], [0.2, 0.8], [0.5, 0.5]]))
    asked: list[Any] = []
    monkeypatch.setattr(critic_sampling, "_repair_prompt", lambda *a: asked.append(a[2]) or NONE)
    problem = Problem("a", "Do a.", [CallCase((), 1)], "f")
    public: Any = SimpleNamespace(spell=lambda problem, draft: SimpleNamespace(text=int(draft.tokens[0])))
    drafts = [written([t], [-1.0], [-1.0]) for t in (60, 70, 80)]
    for repairs, expected in ((1, [70]), (2, [70, 80])):
        asked.clear()
        made = CriticSampling(critic, 6, repairs)
        tasks = made._repair(0, PROMPT, NONE, drafts, [FAILED] * 3, problem, public, 100)
        assert asked == expected
        assert [int(t.draft.tokens[0]) for t in tasks if t.draft] == (expected * 3 if repairs == 1 else [70, 70, 80])


def test_a_repairs_prompt_leaves_room_for_the_program(
    policy: CausalPolicy, critic: Critic, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a context of 100 tokens, where a program may take 30, a prompt gets 70."""
    monkeypatch.setattr(critic_sampling, "_context", lambda policy: 100)
    rooms: list[float] = []
    monkeypatch.setattr(critic_sampling, "_repair_prompt", lambda *a: rooms.append(a[-1]))
    public: Any = SimpleNamespace(
        problems=(Problem("a", "Do a.", [CallCase((), 1)], "f"),),
        verdicts=lambda groups: [[FAILED for _ in group] for group in groups],
        spell=lambda problem, draft: SimpleNamespace(text=""),
    )
    generator = torch.Generator().manual_seed(0)
    CriticSampling(critic).informed(public)(policy, [PROMPT], [NONE], repeats=1, max_tokens=30, generator=generator)
    assert rooms == [70]


def test_options_come_from_their_names(policy: CausalPolicy, critic: Critic, tmp_path: Path) -> None:
    critic.save(tmp_path)
    made = critic_sampling.load(str(tmp_path), n=4, repairs=2, second="refine", device="cpu", top_p=0.5)
    assert (made.n, made.repairs, made.second, made.sampling.top_p) == (4, 2, "refine", 0.5)
