"""Prompts: what a policy reads, in the papers' words, and within its budget."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from rltf_env import datasets, prompts, sandbox
from rltf_env.core import (
    CallCase,
    CaseResult,
    Failure,
    IntArray,
    Outcome,
    Problem,
    Program,
    ScriptCase,
    StdinCase,
    Verdict,
)
from rltf_env.errors import UnknownName, UsageError
from rltf_env.text import TextEnv

STDIN = Problem("s", "Echo the line.", (StdinCase("x\n", "x\n"),), examples=(StdinCase("a\n", "a\n"),))
CALL = Problem(
    "c", "Add.", (CallCase((5, 5), 10),), "add", (CallCase((1, [2]), "3"), CallCase((1,), -0.5, {"b": None}))
)
SCRIPT = Problem("a", "Add.", (ScriptCase("assert add(1, 2) == 3"),), "add", (ScriptCase("assert add(1, 2) == 3"),))
CODE = "def add(a, b):\n"
COMPLETION = Problem("h", CODE, (ScriptCase("check(add)"),), "add", prefix=CODE)


class Pairs:
    """Two characters are a token, so that the tokens of two texts do not add up to those of their sum."""

    vocab_size, eos_id = 1 << 22, 0

    def encode(self, text: str) -> list[int]:
        return [ord(text[at]) * 1024 + ord(text[at + 1 : at + 2] or "\0") for at in range(0, len(text), 2)]

    def decode(self, tokens: Sequence[int]) -> str:
        return "".join(chr(token // 1024) + chr(token % 1024) for token in tokens).rstrip("\0")

    def program(self, tokens: Sequence[int] | IntArray, *, given: int = 0, truncated: bool = False) -> Program:
        raise NotImplementedError


# -------------------------------------------------------------------------------------------------------------- styles


def test_rltf_text_for_standard_input():
    expected = "\nQUESTION:\nEcho the line.\n\n\nUse Standard Input format\n\nANSWER:\n"
    assert prompts.render(STDIN, "rltf") == expected


def test_rltf_text_for_a_call_shows_the_starter_code():
    problem = Problem("c", "Add.", (CallCase((1,), 1),), "Solution.f", starter="class Solution:\n    def f(self, x):")
    # RLTF's trainer: "\nQUESTION:\n" + question + "\n" + starter + "\n" + "\nUse Call-Based format\n" + "\nANSWER:\n"
    assert prompts.render(problem, "rltf") == (
        "\nQUESTION:\nAdd.\nclass Solution:\n    def f(self, x):\n\nUse Call-Based format\n\nANSWER:\n"
    )


def test_mbpp_text_shows_the_asserts():
    assert prompts.render(SCRIPT) == "Add.\nYour code should satisfy these tests:\nassert add(1, 2) == 3\n"


def test_mbpp_text_without_public_asserts_is_the_description():
    problem = Problem("a", "Add.", SCRIPT.cases, "add")
    assert prompts.render(problem) == "Add.\n"


def test_plain_text_shows_examples_as_comparisons():
    assert prompts.render(CALL, "plain") == "Add.\nadd(1, [2]) == '3'\nadd(1, b=None) == -0.5\n"


def test_plain_text_of_a_method_makes_an_instance_first():
    problem = Problem("c", "Add.", (CallCase((1,), 1),), "Solution.f", (CallCase((1,), 1),))
    assert prompts.render(problem, "plain") == "Add.\nSolution().f(1) == 1\n"


def test_plain_text_of_standard_input_shows_both_sides():
    assert prompts.render(STDIN, "plain") == "Echo the line.\nInput:\na\nOutput:\na\n"


def test_statement_style_shows_no_examples():
    assert prompts.render(CALL, "statement") == "Add.\n"


def test_completion_shows_nothing_since_the_program_begins_with_the_code():
    assert prompts.render(COMPLETION) == ""


def test_completion_of_nothing_is_an_error():
    with pytest.raises(UsageError, match="Expected problem 'c' to have a prefix to complete"):
        prompts.render(CALL, "completion")


@pytest.mark.parametrize("style", prompts.STYLES)
@pytest.mark.parametrize("problem", [STDIN, CALL, SCRIPT, COMPLETION], ids=lambda problem: problem.id)
def test_hidden_cases_are_never_shown(problem: Problem, style: str):
    public = [CallCase((7,), 8)]
    hidden = Problem(problem.id, "Do.", problem.cases, problem.entry_point, public, prefix="import re\n")
    text = prompts.render(hidden, style)
    assert not any(word in text for word in ("10", "assert", "check", "x\n"))


def test_unknown_style_names_the_nearest():
    with pytest.raises(UnknownName, match=r"Unknown prompt style 'mpbp'\. Did you mean 'mbpp'"):
        prompts.render(CALL, "mpbp")


def test_a_function_is_a_style():
    assert prompts.render(CALL, lambda problem: problem.id) == "c"


# ------------------------------------------------------------------------------------------------------- default styles


@pytest.mark.parametrize(
    ("problem", "style"), [(STDIN, "rltf"), (CALL, "plain"), (SCRIPT, "mbpp"), (COMPLETION, "completion")]
)
def test_each_kind_has_its_style(problem: Problem, style: str):
    assert prompts.default_style(problem) == style
    assert prompts.render(problem) == prompts.render(problem, style)


def test_a_longer_prefix_does_not_change_the_style():
    assert (
        prompts.default_style(Problem("h", CODE, COMPLETION.cases, "add", prefix=CODE + "    return")) == "completion"
    )
    assert prompts.default_style(Problem("a", "Add.", SCRIPT.cases, "add", prefix=CODE)) == "mbpp"


def test_a_dataset_may_name_its_style():
    assert prompts.default_style(Problem("c", "Add.", CALL.cases, "add", meta={"style": "rltf"})) == "rltf"


def test_styles_of_the_real_datasets(data: Path):
    styles = {
        name: {prompts.default_style(problem) for problem in datasets.load(name, root=root)}
        for name, root in [("apps", data), ("mbpp", data), ("humaneval", None), ("procedural", None)]
    }
    assert styles == {"apps": {"rltf"}, "mbpp": {"mbpp"}, "humaneval": {"completion"}, "procedural": {"plain"}}


def test_a_real_mbpp_prompt(data: Path):
    problem = datasets.load("mbpp", "prompt", root=data)[1]
    assert prompts.render(problem) == (
        "Write a function to find the similar elements from the given two tuple lists.\n"
        "Your code should satisfy these tests:\n"
        "assert similar_elements((3, 4, 5, 6),(5, 7, 4, 10)) == (4, 5)\n"
        "assert similar_elements((1, 2, 3, 4),(5, 4, 3, 7)) == (3, 4)\n"
        "assert similar_elements((11, 12, 14, 13),(17, 15, 14, 13)) == (13, 14)\n"
    )


# ---------------------------------------------------------------------------------------------------------------- chat


def template(messages: list[dict[str, str]], *, tokenize: bool, add_generation_prompt: bool) -> str:
    """As transformers' method of that name, in ChatML."""
    assert not tokenize
    text = "".join(f"<|im_start|>{message['role']}\n{message['content']}<|im_end|>\n" for message in messages)
    return text + "<|im_start|>assistant\n" * add_generation_prompt


def test_chat_is_one_user_message_and_the_assistants_turn():
    assert prompts.chat(SCRIPT, template) == (
        "<|im_start|>user\nAdd.\n\nYour code should satisfy these tests:\nassert add(1, 2) == 3\n\n"
        "Answer with Python code only, without any explanation.<|im_end|>\n<|im_start|>assistant\n"
    )


def test_chat_may_open_the_answer():
    assert prompts.chat(SCRIPT, template, opening="```python\n").endswith("<|im_start|>assistant\n```python\n")


@pytest.mark.parametrize(
    ("problem", "said"),
    [
        (STDIN, "The program reads standard input and writes standard output."),
        (Problem("c", "Add.", CALL.cases, "add"), "Name the function `add`."),
        (Problem("c", "Add.", CALL.cases, "add", starter=CODE), f"Begin with:\n{CODE}"),
        (Problem("c", "Add.", CALL.cases, "add", prefix="import re\n"), "begins with this code:\nimport re"),
        (COMPLETION, "Complete this code:\ndef add(a, b):"),
    ],
)
def test_chat_says_what_the_program_has_to_be(problem: Problem, said: str):
    assert said in prompts.chat(problem, template)


def test_chat_shows_code_to_complete_once():
    assert prompts.chat(COMPLETION, template).count("def add") == 1


# ----------------------------------------------------------------------------------------------------------------- fit


def words(problem: Problem, limit: int, **options: Any) -> str:
    tokens = prompts.fit(problem, Pairs(), limit, **options)
    assert len(tokens) <= limit
    return Pairs().decode(tokens)


LONG = Problem("l", "word " * 100, (StdinCase("", ""),), starter="")


def test_a_prompt_that_fits_is_left_as_it_is():
    text = prompts.render(LONG)
    assert words(LONG, (len(text) + 1) // 2) == text


def test_a_prompt_that_is_too_long_is_an_error_with_the_numbers():
    with pytest.raises(UsageError, match=r"at most 100 tokens, got 275 for problem 'l'\. Raise the limit.*on_long="):
        prompts.fit(LONG, Pairs(), 100)


@pytest.mark.parametrize("limit", [25, 30, 31, 100, 250, 274])
def test_truncation_cuts_the_end_of_the_statement_and_keeps_what_follows(limit: int):
    text = words(LONG, limit, on_long="truncate")
    head, tail = "\nQUESTION:\n", "\n\n\nUse Standard Input format\n\nANSWER:\n"
    kept = text.removeprefix(head).removesuffix(tail)
    assert text == head + kept + tail
    assert LONG.statement.startswith(kept)
    assert len(text) in (2 * limit - 1, 2 * limit)  # as much as there is room for


def test_truncation_that_cannot_help_is_an_error():
    with pytest.raises(UsageError, match=r"at most 20 tokens, got 25 for problem 'l' without any statement and"):
        prompts.fit(LONG, Pairs(), 20, on_long="truncate")


def test_truncation_keeps_the_asserts():
    problem = Problem("a", "long " * 50, SCRIPT.cases, "add", SCRIPT.examples)
    text = words(problem, 60, on_long="truncate")
    assert text.endswith("\nYour code should satisfy these tests:\nassert add(1, 2) == 3\n")


def test_truncation_drops_examples_that_are_too_long_by_themselves():
    tests = [ScriptCase("assert f(1) == 1"), ScriptCase(f"assert f(2) == '{'2' * 400}'")]
    problem = Problem("a", "long " * 50, tests, "f", tests)
    text = words(problem, 80, on_long="truncate")
    assert text.startswith("long long long")
    assert len(text) in (159, 160)
    assert text.endswith("\nYour code should satisfy these tests:\nassert f(1) == 1\n")


def test_truncation_works_inside_a_chat():
    style = partial(prompts.chat, apply_chat_template=template)
    text = words(Problem("a", "long " * 50, SCRIPT.cases, "add"), 120, style=style, on_long="truncate")
    assert text.startswith("<|im_start|>user\nlong long")
    assert text.endswith("<|im_start|>assistant\n")


def test_unknown_way_with_long_prompts_is_an_error():
    with pytest.raises(UnknownName, match=r"Unknown value of on_long 'truncat'\. Did you mean 'truncate'"):
        prompts.fit(LONG, Pairs(), 9, on_long="truncat")


def test_asserts_without_a_name_to_call_are_no_standard_input():
    problem = Problem("a", "Define x.", (ScriptCase("assert x == 1"),))
    assert prompts.render(problem) == "Define x.\n"
    assert "standard input" not in prompts.chat(problem, lambda messages, **_: messages[0]["content"])


# --------------------------------------------------------------------------------------------------------------- stops


def test_stops_are_those_of_what_is_asked_for() -> None:
    body = Problem("b", "def f():\n", [CallCase((), 1)], "f", prefix="def f():\n")
    function, program = Problem("f", "Write f.", [CallCase((), 1)], "f"), Problem("p", "Print.", [StdinCase("", "1")])
    tested = Problem("t", "Write f.", [ScriptCase("assert f() == 1")])
    assert prompts.stops([body]) == prompts.BODY_STOPS
    assert prompts.stops([function, tested]) == prompts.FUNCTION_STOPS
    assert prompts.stops([program]) == prompts.stops([program, function]) == prompts.PROGRAM_STOPS


# ------------------------------------------------------------------------------------------------------------- repair


WRONG = Verdict((CaseResult(Outcome.WRONG_ANSWER, Failure("WrongAnswer", "expected 4, got 5")),))
DOUBLE = Problem("double", "Double x.", (CallCase((9,), 18),), "f", examples=(CallCase((2,), 4),))


def test_a_repair_is_asked_for_as_a_repair_twin_asks_for_it() -> None:
    """The decoder, the pairs that teach it and the environment show a policy the same text."""
    wrong = "def f(x):\n    return x + 3\n"
    env = TextEnv((DOUBLE,), sandbox=sandbox.load("scripted", rules=lambda *_: False), max_turns=2)
    env.prompt_style = "statement"
    env.reset()
    shown, *_, info = env.step(wrong)
    reply = prompts.report(DOUBLE, info["examples"], info["examples"])
    assert prompts.render(prompts.repair(DOUBLE, wrong, reply), "statement") == shown


def test_a_repair_shows_examples_once_and_nothing_of_hidden_cases() -> None:
    reply = prompts.report(DOUBLE, WRONG, WRONG)
    text = prompts.render(prompts.repair(DOUBLE, "f = abs\n", reply))
    assert reply == "f(2) == 4\n-> WrongAnswer: expected 4, got 5\n"
    assert text.count("f(2) == 4") == 1
    assert "18" not in text
    assert text.endswith("Program 2 of 2, from its beginning:\n")
    bare = replace(DOUBLE, examples=())
    assert prompts.report(bare, WRONG, None) == "Fails tests that are not shown.\n"


def test_a_program_too_long_for_a_repair_loses_its_last_lines_and_not_the_request() -> None:
    def tokens(problem: Problem) -> int:
        return len(problem.statement)

    fitting = prompts.fitting_repair(DOUBLE, "x = 1\n" * 99, "Wrong.\n", tokens, 200)
    assert fitting is not None
    assert 3 < fitting.statement.count("x = 1") < 99
    assert fitting.statement.endswith("Result:\nWrong.\n\nProgram 2 of 2, from its beginning:")
    assert prompts.fitting_repair(DOUBLE, "x", "Wrong." * 99, tokens, 200) is None
