"""Stop strings: to the token, with the text before the string as the program and offsets that stay right."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from agents.core import Completion
from agents.decoding._stopping import Stops
from agents.decoding.sampling import Sampling, load
from agents.engines.own import SYNC_EVERY
from agents.options import build
from agents.policies.causal import CausalPolicy
from agents.rollout import collect
from rltf_env.core import Outcome, Problem
from rltf_env.env import UnitTestEnv
from rltf_env.errors import UsageError

NONE = np.array([], np.int64)


class Writer:
    """A policy that writes one text for each prompt (its number is the prompt's only token), then the end token."""

    def __init__(self, tokenizer: Any, texts: list[str]) -> None:
        self.tokenizer, self.eos_id = tokenizer, int(tokenizer.eos_token_id)
        self.pad_id = self.eos_id
        self.model = SimpleNamespace(training=False, eval=lambda: None, train=lambda mode: None)
        self.scripts = [[*tokenizer.encode(text, add_special_tokens=False), self.eos_id] for text in texts]
        self.device = torch.device("cpu")
        self.steps = 0

    def begin(self, prompts: Any, given: Any, repeats: int = 1) -> tuple[Any, Tensor]:
        rows = [int(p[0]) for p in prompts for _ in range(repeats)]
        at = [len(g) for g in given for _ in range(repeats)]
        state = SimpleNamespace(rows=torch.tensor(rows), at=torch.tensor(at))
        return state, self._next(state)

    def _next(self, state: Any) -> Tensor:
        self.steps += 1
        logits = torch.zeros(len(state.rows), len(self.tokenizer))
        for i, (row, at) in enumerate(zip(state.rows.tolist(), state.at.tolist(), strict=True)):
            script = self.scripts[row]
            logits[i, script[min(at, len(script) - 1)]] = 50.0
        return logits

    def extend(self, state: Any, tokens: Tensor) -> Tensor:
        state.at = state.at + 1
        return self._next(state)

    def keep(self, state: Any, rows: Tensor) -> None:
        state.rows, state.at = state.rows[rows], state.at[rows]


def write(policy: Any, given: list[Any] | None = None, max_tokens: int = 200, **options: Any) -> list[Completion]:
    generator = torch.Generator()
    generator.manual_seed(0)
    count = len(policy.scripts)
    prompts = [np.array([i]) for i in range(count)]
    answers = Sampling(0.0, **options)(
        policy, prompts, given or [NONE] * count, max_tokens=max_tokens, generator=generator
    )
    return [c for group in answers for c in group]


def spelled(policy: Any, c: Completion) -> str:
    return policy.tokenizer.decode(c.tokens, skip_special_tokens=True)


TEXTS = [
    "x = 1\n\n\ny = 2\n" + "z = 3\n" * 30,
    "print('```')\n" + "# more\n" * 40,
    "short\n",
    "naïve = '日本'\n" * 3 + "```\nrest",
    "a" * 3 * SYNC_EVERY + "\n\n\n",
]


def test_a_program_ends_with_the_token_that_completes_a_stop_string(policy: CausalPolicy) -> None:
    writer = Writer(policy.tokenizer, TEXTS)
    for text, script, c in zip(TEXTS, writer.scripts, write(writer, stop=("\n\n\n", "```")), strict=True):
        assert c.tokens.tolist() == script[: len(c.tokens)]
        assert not c.truncated
        assert len(c.logprobs) == len(c.behaviour_logprobs) == len(c.tokens)
        places = [text.find(stop) for stop in ("\n\n\n", "```") if stop in text]
        if not places:
            assert c.kept is None
            assert c.tokens[-1] == writer.eos_id
            continue
        assert c.kept == min(places)
        assert "\n\n\n" in spelled(writer, c) or "```" in spelled(writer, c)
        shorter = policy.tokenizer.decode(c.tokens[:-1])
        assert "\n\n\n" not in shorter
        assert "```" not in shorter


def test_rows_that_have_stopped_write_no_further(policy: CausalPolicy) -> None:
    writer = Writer(policy.tokenizer, [TEXTS[0], TEXTS[0]])
    write(writer, stop=("\n\n\n",))
    assert writer.steps <= 2 * SYNC_EVERY < len(writer.scripts[0])


def test_without_the_string_the_end_and_the_limit_mean_what_they_did(policy: CausalPolicy) -> None:
    writer = Writer(policy.tokenizer, ["short\n", "long " * 50])
    ended, cut = write(writer, stop=("never",), max_tokens=20)
    assert (ended.kept, ended.truncated, ended.tokens[-1]) == (None, False, writer.eos_id)
    assert (cut.kept, cut.truncated, len(cut.tokens)) == (None, True, 20)


def test_a_string_that_is_complete_at_the_limit_is_no_truncation(policy: CausalPolicy) -> None:
    writer = Writer(policy.tokenizer, ["x = 1```"])
    n = len(writer.scripts[0]) - 1
    [c] = write(writer, stop=("```",), max_tokens=n)
    assert (len(c.tokens), c.kept, c.truncated) == (n, 5, False)
    [c] = write(writer, stop=("```",), max_tokens=n - 1)
    assert (c.kept, c.truncated) == (None, True)


def test_given_tokens_may_hold_the_string_and_may_begin_it(policy: CausalPolicy) -> None:
    encode: Callable[[str], list[int]] = lambda text: policy.tokenizer.encode(text, add_special_tokens=False)  # noqa: E731
    stops = Stops(policy.tokenizer, ["``"])
    assert stops.cut(np.array(encode("a``b") + encode("c")), len(encode("a``b"))) is None
    given, rest = encode("a`"), encode("`") + encode("b")
    assert stops.cut(np.array(given + rest), len(given)) == (len(given) + 1, 2)  # what was given is kept whole


def test_a_character_of_several_tokens_can_stop(policy: CausalPolicy) -> None:
    [c] = write(Writer(policy.tokenizer, ["ab日c本d"]), stop=("本",))
    assert policy.tokenizer.decode(c.tokens) == "ab日c本"
    assert c.kept == 4


def test_the_first_string_in_the_text_wins_whichever_is_listed_first(policy: CausalPolicy) -> None:
    for stop in (("bb", "cc"), ("cc", "bb")):
        [c] = write(Writer(policy.tokenizer, ["aaccbb"]), stop=stop)
        assert c.kept == 2


def test_the_judge_sees_the_text_before_the_string_and_lines_keep_their_tokens(
    make_env: Callable[..., UnitTestEnv], policy: CausalPolicy, problems: list[Problem]
) -> None:
    seen: list[str] = []

    def rule(source: str, problem: Problem) -> Any:
        seen.append(source)
        return [Outcome.PASSED] * len(problem.cases)

    env = make_env(rules=rule, max_program_tokens=60)
    writer = Writer(policy.tokenizer, ["def f():\n    return 1\n```\nThis is why"] * (policy.vocab_size))
    generator = torch.Generator()
    [[episode]] = collect(
        writer,
        env,
        problems[:1],
        Sampling(0.0, stop=("```",)),
        repeats=1,
        generator=generator,  # type: ignore[arg-type]
    )
    program = episode.program
    assert seen == [program.text] == ["def f():\n    return 1\n"]
    assert not program.truncated
    assert policy.tokenizer.decode(program.tokens).endswith("```")
    assert policy.tokenizer.decode(program.tokens[program.tokens_on(2)]).strip() == "return 1"
    assert (program.starts[program.starts >= len(program.text)] == len(program.text)).all()
    assert len(program) == len(episode.logprobs) == len(episode.feedback.rewards)


def test_recipes_name_stop_strings_as_a_list() -> None:
    assert build(Sampling, {"stop": ["```"]}, "agent.sampling").stop == ("```",)
    for wrong in ("```", [""], [3]):
        with pytest.raises(UsageError, match="stop"):
            load(stop=wrong)
