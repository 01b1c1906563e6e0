"""A policy of ours as a solver: run folders are asked as their recipe asked, tokens and what was given are carried along."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from agents.core import Completion
from agents.critics.line_model import LineModel
from agents.critics.outcome import Critic
from agents.policies import tiny
from agents.policies.causal import CausalPolicy
from benchmarks import solvers, suites
from benchmarks.solvers.policy import PolicySolver, weights
from rltf_env import prompts, sandbox
from rltf_env.core import CallCase, Problem
from rltf_env.errors import MissingData, UnknownName, UsageError

SUITE = suites.get("humaneval").changed(samples=2, temperature=1.0, max_tokens=12)
PREFIX = 'def f(x):\n    """Doubles."""\n'
PROBLEMS = [Problem(f"p{i}", f"Add {i}.", [CallCase((1,), 1 + i)], "f", prefix=PREFIX if i else "") for i in range(3)]
RECIPE = """
[run]
name = "little"
updates = 1
[env]
id = "RLTF-Procedural-v0"
prompt_style = "statement"
[policy]
kind = "tiny"
[agent]
kind = "supervised"
"""


@pytest.fixture(autouse=True)
def one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def policy() -> CausalPolicy:
    return tiny.load(width=16, layers=1, heads=2, vocab_size=280, dataset_options={"size": 4}, max_positions=128)


@pytest.fixture
def run(policy: CausalPolicy, tmp_path: Path) -> Path:
    """A run folder."""
    folder = tmp_path / "little-run"
    (folder / "policy").mkdir(parents=True)
    policy.save(folder / "policy")
    (folder / "recipe.toml").write_text(RECIPE)
    return folder


def find(spec: Path | str, suite: suites.Suite = SUITE, **options: Any) -> Any:
    return solvers.find(str(spec), suite, {"device": "cpu", **options})


def test_run_folder_is_asked_as_its_recipe_asked(run: Path, policy: CausalPolicy) -> None:
    solver = find(run)
    assert (solver.name, solver.style) == ("little-run", "statement")
    told = solver.describe()
    assert (told["run"], told["format"], told["weights"]) == ("little", "statement", weights(policy))
    assert str(run) not in str(told)


def test_unfinished_run_says_so(run: Path) -> None:
    (run / "policy" / "config.json").unlink()
    with pytest.raises(MissingData, match="Run the training to its end"):
        find(run)


def test_answers_have_tokens_that_spell_them_and_know_what_was_given(run: Path) -> None:
    solver = find(run)
    for problem, group in zip(PROBLEMS, solver.write(PROBLEMS, 2, 0), strict=True):
        for answer in group:
            assert answer.text.startswith(problem.prefix.rstrip())
            assert sum(answer.lengths) == len(answer.text)
            assert sum(answer.lengths[: answer.given]) == len(problem.prefix.rstrip())
            assert answer.tokens <= 12


def test_batch_comes_out_the_same_whatever_was_written_before(run: Path) -> None:
    first, again = find(run), find(run)
    again.write(PROBLEMS[:1], 2, 0)
    texts = [[[answer.text for answer in group] for group in w.write(PROBLEMS[1:], 2, 0)] for w in (first, again)]
    assert texts[0] == texts[1]
    assert texts[0] != [[answer.text for answer in group] for group in first.write(PROBLEMS[1:], 2, 1)]


def test_model_folder_without_a_template_continues_the_prompt(run: Path) -> None:
    solver = find(run / "policy")
    assert (solver.name, solver.style, solver.describe()["format"]) == ("policy", None, "completion")
    with pytest.raises(UnknownName, match="Did you mean 'chat'"):
        find(run / "policy", format="chatt")


def test_model_that_continues_code_stops_as_is_customary_and_the_record_says_where(run: Path) -> None:
    solver = find(run / "policy", suite=suites.get("mbpp").changed(max_tokens=8))
    problem = Problem("f", "Write f.", [CallCase((), 1)], "f")
    assert solver.decoder.stop == ()
    solver.write([problem], 1, 0)
    assert solver.decoder.stop == prompts.FUNCTION_STOPS
    assert solver.describe()["stop"] == list(prompts.FUNCTION_STOPS)
    own = find(run / "policy", decoder_options={"stop": ["X"]})
    own.write([problem], 1, 0)
    assert own.describe()["stop"] == ["X"]


def test_decoder_is_found_by_name_and_checked(run: Path) -> None:
    assert find(run, decoder="sampling", decoder_options={"rows": 3}).decoder.rows == 3
    assert find(run).decoder.temperature == 1.0
    assert find(run).decoder.stop == SUITE.stop
    with pytest.raises(UnknownName, match="Did you mean 'sampling'"):
        find(run, decoder="samplin")
    with pytest.raises(UsageError, match="Decoder 'sampling'"):
        find(run, decoder_options={"nonsense": 1})


def test_prompt_that_leaves_no_room_is_refused(run: Path) -> None:
    long = Problem("long", "word " * 200, [CallCase((), 1)], "f")
    with pytest.raises(UsageError, match="the model's context"):
        find(run).write([long], 1, 0)


def written(
    policy: CausalPolicy, text: str, *, ended: bool, prefix: str = PREFIX, limit: int = 40, anew: bool = False
) -> Any:
    """The answer that a decoder's tokens for `text` become."""
    suite = suites.get("humaneval").changed(max_tokens=limit)
    solver = PolicySolver("x", policy, suite, None, None, 1, {}, anew)
    given = solver.tokenizer.encode(prefix) if prefix and not anew else []
    tokens = np.array([*given, *solver.tokenizer.encode(text), *([policy.eos_id] if ended else [])], np.int64)
    zeros = np.zeros(len(tokens), np.float32)
    problem = Problem("p", "", [CallCase((1,), 1)], "f", prefix=prefix)
    return solver._answer(problem, Completion(tokens, zeros, zeros, len(given), not ended), 0.0)


@pytest.mark.parametrize(
    ("text", "before"),
    [
        ("def f(x):\n    return 2 * x\n\ndef g(): pass\n", PREFIX.rstrip() + "\n\n\n"),
        ("    return 2 * x\n", PREFIX),
        (PREFIX + "    return 2 * x\n", ""),
    ],
    ids=["anew", "continued", "said again"],
)
def test_answer_in_a_chat_may_say_again_what_was_given(policy: CausalPolicy, text: str, before: str) -> None:
    answer = written(policy, text, ended=True, prefix=PREFIX, anew=True)
    assert answer.text == before + text
    assert sum(answer.lengths) == len(answer.text)
    assert sum(answer.lengths[: answer.given]) == len(before)


def test_completion_ends_at_a_stop_text_even_inside_a_token(policy: CausalPolicy) -> None:
    answer = written(policy, "    return x\n\ndef g(): pass\n", ended=True)
    assert answer.text == PREFIX + "    return x\n"
    assert sum(answer.lengths) == len(answer.text)
    assert not answer.truncated


def test_stop_texts_do_not_end_a_program_that_was_not_begun_for_it(policy: CausalPolicy) -> None:
    text = "import math\n\ndef f(x):\n    return x\n"
    assert written(policy, text, ended=True, prefix="").text == text


def test_program_that_reaches_the_limit_is_cut_off(policy: CausalPolicy) -> None:
    answer = written(policy, "    return x + x + x + x + x\n", ended=False, limit=5)
    assert (answer.tokens, answer.truncated) == (5, True)
    assert not written(policy, "    return x\n", ended=True).truncated


# ------------------------------------------------------------------------------------------------------ public examples


def shown(id: str) -> Problem:
    return Problem(id, f"Do {id}.", [CallCase((1,), "hidden")], "f", examples=[CallCase((1,), "public")])


def test_decoder_may_try_public_examples_and_nothing_else(run: Path) -> None:
    problems = [shown("a"), shown("b")]
    solver = find(run, decoder="best_of_n", decoder_options={"n": 16})  # some of so many are of even length
    with sandbox.load("scripted", rules=lambda source, problem: len(source) % 2 == 0) as judge:
        assert solver.attach(judge, problems) == ["decoder best_of_n, which tries public examples"]
        groups = solver.write(problems, 2, 0)
        assert len(judge.requests) == 2 * 2 * 16
        assert all("hidden" not in repr(problem) for _, problem in judge.requests)
        tried = {source for source, _ in judge.requests}
    texts = [answer.text for group in groups for answer in group]
    assert set(texts) <= tried  # what is handed in is, to the letter, what was tried
    assert all(len(text) % 2 == 0 for text in texts)
    assert solver.describe()["decoder"] == "best_of_n"


def test_suite_without_public_examples_is_refused_for_such_a_decoder(run: Path) -> None:
    with sandbox.load("scripted") as judge:
        with pytest.raises(UsageError, match="public examples"):
            find(run, decoder="best_of_n").attach(judge, PROBLEMS)
        assert find(run).attach(judge, PROBLEMS) == []  # others do not look at them
    with pytest.raises(UsageError, match="Call `attach`"):
        find(run, decoder="best_of_n").write([shown("a")], 1, 0)


def test_record_names_a_critic_by_what_is_in_its_folder_and_not_by_its_place(
    run: Path, policy: CausalPolicy, tmp_path: Path
) -> None:
    Critic(policy, classes=2).save(tmp_path / "my-critic")
    options = {"critic": str(tmp_path / "my-critic"), "device": "cpu"}
    told = [find(run, decoder="critic_sampling", decoder_options=options).describe()["decoder_options"] for _ in "ab"]
    assert told[0] == told[1]
    assert told[0]["critic"].startswith("my-critic ")
    assert str(tmp_path) not in str(told)
    (tmp_path / "my-critic" / "critic.json").write_text('{"classes": 2,  "kind": "causal"}')
    assert find(run, decoder="critic_sampling", decoder_options=options).describe()["decoder_options"] != told[0]


def test_one_of_n_programs_by_its_lines_is_chosen_without_a_test_and_told_as_a_departure(
    run: Path, policy: CausalPolicy, tmp_path: Path
) -> None:
    LineModel(policy).save(tmp_path / "lines")
    options = {"model": str(tmp_path / "lines"), "device": "cpu", "n": 4}
    solver = find(run, decoder="line_rank", decoder_options=options)
    with sandbox.load("scripted") as judge:
        assert solver.attach(judge, PROBLEMS) == ["decoder line_rank, which chooses one of 4 programs"]
        groups = solver.write(PROBLEMS, 2, 0)
        assert judge.requests == []
    assert [len(group) for group in groups] == [2, 2, 2]
    assert solver.describe()["decoder_options"]["model"].startswith("lines ")
    assert find(run, decoder="line_rank", decoder_options={**options, "n": 1}).attach(judge, PROBLEMS) == []
