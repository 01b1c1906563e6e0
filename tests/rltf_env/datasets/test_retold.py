"""Retold problems: what is asked differs, what is written and what judges it does not."""

from __future__ import annotations

import ast

import numpy as np
import pytest

from rltf_env import datasets
from rltf_env.core import CallCase, Problem
from rltf_env.datasets import procedural, retold
from rltf_env.datasets._clike import print_clike
from rltf_env.errors import DataError, UnknownName, UsageError

PROBLEM = procedural.find("procedural/train/2/256917854856768")


@pytest.mark.parametrize("task", retold.TASKS)
def test_a_retold_problem_has_the_cases_and_the_reference_of_the_one_that_it_retells(task: str) -> None:
    told = retold.retell(PROBLEM, task)
    assert told.id == f"retold/{task}/train/2/256917854856768"
    assert (told.cases, told.examples, told.solutions) == (PROBLEM.cases, PROBLEM.examples, PROBLEM.solutions)
    assert told.meta["task"] == told.meta["tags"][0] == task
    assert told.solutions[0].startswith(told.prefix)
    assert retold.find(told.id) == told


def test_each_task_asks_in_its_own_way() -> None:
    told = {task: retold.retell(PROBLEM, task) for task in retold.TASKS}
    reference = PROBLEM.solutions[0]
    assert told["generate"].statement == PROBLEM.statement
    assert told["refine"].statement.startswith(f"{PROBLEM.statement}\nThis program is wrong:\ndef f(x):\n")
    assert reference not in told["refine"].statement
    assert told["translate"].statement == f"Write this in Python: {print_clike(reference)}"
    assert told["copy"].statement == f"Write this again:\n{reference.rstrip()}"
    lines = reference.splitlines(keepends=True)
    assert told["complete"].prefix == "".join(lines[: len(lines) // 2])
    assert {task for task, each in told.items() if each.prefix} == {"complete"}


def test_the_wrong_program_is_another_program_of_one_change_and_always_the_same() -> None:
    for problem in datasets.load("procedural", size=40, depths=[1, 2]):
        text = retold.wrong(problem)
        assert ast.dump(ast.parse(text)) != ast.dump(ast.parse(problem.solutions[0]))
        assert text == retold.wrong(problem)
    assert len({retold.wrong(p) for p in datasets.load("procedural", size=40, depths=[2])}) > 35


def test_a_program_of_two_lines_is_completed_after_the_first() -> None:
    problem = Problem("procedural/a", "Add.", [CallCase((1,), 2)], "f", solutions=["def f(x):\n    return x + 1\n"])
    assert retold.retell(problem, "complete").prefix == "def f(x):\n"


def test_tasks_take_turns_and_each_gets_every_depth() -> None:
    problems = datasets.load("retold", "train", tasks=["refine", "copy"], size=8, depths=[1, 2])
    seen = [(p.meta["task"], p.difficulty) for p in problems]
    assert seen == [(t, f"depth-{d}") for _ in range(2) for t in ("refine", "copy") for d in (1, 2)]
    alone = datasets.load("retold", "train", tasks=["copy"], size=8, depths=[1, 2])
    assert {p.meta["task"] for p in alone} == {"copy"}


def test_an_endless_source_draws_the_tasks_that_it_was_asked_for_and_finds_them_again() -> None:
    source = datasets.source("retold", "seen", tasks=["refine", "translate"], depths=[2])
    rng = np.random.default_rng(0)
    drawn = [source.draw(rng) for _ in range(12)]
    assert {p.meta["task"] for p in drawn} == {"refine", "translate"}
    assert [source.find(p.id) for p in drawn] == drawn


def test_an_unknown_task_and_a_foreign_id_are_refused() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'refine'"):
        datasets.load("retold", tasks=["refin"])
    with pytest.raises(UsageError, match="tasks as a list"):
        datasets.load("retold", tasks="refine")
    with pytest.raises(UnknownName, match="retold/"):
        retold.find("procedural/train/2/1")


# -------------------------------------------------------------------------------------------------- the C-like language


@pytest.mark.parametrize(
    ("python", "expected"),
    [
        ("def f(x):\n    return x[::-1]", "f(x) { return slice(x, null, null, -1); }"),
        ("def f(x):\n    return [v * v for v in x if v > 2]", "f(x) { return collect(v : x | v > 2) { v * v }; }"),
        ("def f(x):\n    if x % 2 == 0:\n        x = x // 2\n    else:\n        x = -x\n    return x",
         "f(x) { if ((x % 2) == 0) { x = x / 2; } else { x = -x; } return x; }"),
        ("def f(x):\n    for i, c in enumerate(x):\n        if c not in 'ab':\n            break\n    return 'é'.join(x)",
         'f(x) { for ((i, c) : enumerate(x)) { if (c !in "ab") { break; } } return .join("\\u00e9", x); }'),
        ("def f(x):\n    return max(x, default=0)", "f(x) { return max(x, default = 0); }"),
        ("def f(x):\n    return sorted(x, reverse=True)", "f(x) { return sorted(x, reverse = true); }"),
    ],
)  # fmt: skip
def test_a_program_is_printed_in_the_c_like_language(python: str, expected: str) -> None:
    assert print_clike(python) == expected


def test_brackets_keep_apart_what_python_keeps_apart() -> None:
    texts = [
        "x - (y - 1)",
        "x - y - 1",
        "(x + 1) * y",
        "x + 1 * y",
        "-(x + 1)",
        "-x + 1",
        "x / y",
        "x // y",
        "1",
        "'1'",
    ]
    assert len({print_clike(f"def f(x, y):\n    return {text}") for text in texts}) == len(texts)


def test_no_two_references_are_translated_into_one_text() -> None:
    references = {p.solutions[0] for p in datasets.load("procedural", size=500, depths=[1, 2, 3])}
    assert len({print_clike(text) for text in references}) == len(references)


def test_syntax_without_words_is_refused() -> None:
    with pytest.raises(DataError, match="got Lambda in line 2"):
        print_clike("def f(x):\n    return (lambda: x)()")
    with pytest.raises(DataError, match="got With in line 1"):
        print_clike("with x: pass")
