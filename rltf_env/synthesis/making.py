"""From a function to a problem with tests, or to the reason why there is none."""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import numpy as np

from rltf_env.core import CallCase, Problem, Problems, Sandbox, ScriptCase
from rltf_env.datasets._files import parse_python
from rltf_env.datasets._mutants import mutants
from rltf_env.errors import DataError, UnknownName, UsageError
from rltf_env.plain import spelled
from rltf_env.synthesis import coverage
from rltf_env.synthesis.inputs import Arguments, Type, draw_all, of_values, parse
from rltf_env.synthesis.results import LARGEST, Answer, Call, ask, steady
from rltf_env.synthesis.seeds import inputs_of

Choice = Literal["mutants", "drawn"]
RUNS = (1, 2)  # seeds of the two runs
COLUMNS = ("code", "statement", "id", "entry_point")
DEEP = "its code is nested too deeply"
_UNTESTED = ScriptCase("raise NotImplementedError('no tests yet')")


@dataclass(frozen=True)
class Settings:
    """How tests are made.

    Args:
        inputs: that are tried for each function.
        tests: that a problem has, at the most.
        least: that it must have.
        examples: public ones besides, as far as inputs are left.
        largest: characters of an output, as JSON.
        mutants: wrong programs that tests are tried on.
        killed: share of them that the tests must fail.
        choice: "mutants", the tests that fail most of them; or "drawn", the first ones that were drawn, whatever they
            fail: what choosing is measured against.
    """

    inputs: int = 40
    tests: int = 8
    least: int = 4
    examples: int = 2
    largest: int = LARGEST
    mutants: int = 10
    killed: float = 0.5
    choice: Choice = "mutants"

    def __post_init__(self) -> None:
        sizes = (self.least, self.largest, self.mutants)
        if min(sizes) < 1 or self.examples < 0 or not self.least <= self.tests <= self.inputs:
            raise UsageError(
                f"Expected 1 <= least <= tests <= inputs, largest, mutants >= 1 and examples >= 0, got {self}."
            )
        if not 0 <= self.killed <= 1:
            raise UsageError(f"Expected killed, a share, in [0, 1], got {self.killed}.")
        if self.choice not in get_args(Choice):
            raise UnknownName("choice of tests", self.choice, get_args(Choice))


def synthesize(
    problems: Iterable[Problem], judge: Sandbox, rng: np.random.Generator, settings: Settings | None = None
) -> Problems:
    """The problems with tests made of their first reference, in place of those that they had; the others in `.skipped`.

    Args:
        problems: each with a reference that defines a function; `function` makes one of a function alone.
        judge: one that keeps enough of what is printed, see `judge_options`.
        rng: draws inputs and mutants: the same makes the same tests.
        settings: how many, and how good.

    Raises:
        UsageError: nothing is left; the message counts the reasons.
    """
    settings, made, skipped = settings or Settings(), [], []
    for problem in problems:
        try:
            made.append(_made(problem, judge, rng, settings))
        except (UsageError, DataError) as why:
            skipped.append((problem.id, str(why)))
        except RecursionError:
            skipped.append((problem.id, DEEP))
    if not made:
        reasons = Counter(why for _, why in skipped).most_common(3)
        words = "; ".join(f"{count} times: {why}" for why, count in reasons)
        raise UsageError(
            f"Expected functions of which tests can be made, got none of {len(skipped)}. {words or 'No data.'}"
        )
    return Problems(made, skipped)


def function(row: Mapping[str, Any], where: str, columns: Mapping[str, str] | None = None) -> Problem:
    """A problem without tests of its own, of a row that holds a function.

    Args:
        row: `code`, and perhaps `statement` (else the docstring), `id` (else `where`) and `entry_point`.
        where: it stands.
        columns: our name -> the row's.

    Raises:
        UnknownName: a column that we or the row do not have.
        DataError: the code is no text.
    """
    names = {name: name for name in COLUMNS} | dict(columns or {})
    for name in names:
        if name not in COLUMNS:
            raise UnknownName("column", name, COLUMNS)
        if names[name] not in row and (name == "code" or name in (columns or {})):
            raise UnknownName(f"column of {where}:", names[name], row)
    fields = {name: row.get(names[name]) for name in COLUMNS}
    if not isinstance(fields["code"], str):
        raise DataError(f"{where}: expected the text of a function in {names['code']!r}, got {fields['code']!r:.60}.")
    statement, id = (str(fields[name] or "") for name in ("statement", "id"))
    return Problem(id or where, statement, [_UNTESTED], fields["entry_point"], solutions=[fields["code"]])


# ---------------------------------------------------------------------------------------------------- one function


def _made(problem: Problem, judge: Sandbox, rng: np.random.Generator, settings: Settings) -> Problem:
    """The problem with its tests. Raises UsageError with the reason why it has none."""
    if not problem.solutions:
        raise UsageError("it has no reference")
    code = problem.solutions[0]
    node = definition(code, problem.entry_point)
    statement = problem.statement or ast.get_docstring(node) or ""
    if not statement:
        raise UsageError("it has neither a statement nor a docstring")
    arguments = draw_all(types_of(node, problem), rng, settings.inputs)
    cases = answered(judge, code, node.name, arguments, settings)
    cases, killed, count = _tried(problem, node.name, code, cases, judge, rng, settings)
    chosen = _chosen(cases, killed, settings)
    failed = {number for i in chosen for number in killed[i]}
    if len(failed) < settings.killed * count:
        raise UsageError(f"its tests fail only {len(failed)} of {count} mutants")
    shown = _different(cases, chosen, settings.examples)
    notes = {**problem.meta, "made": {"inputs": len(arguments), "mutants": count, "killed": len(failed)}}
    return replace(
        problem, statement=statement, cases=tuple(cases[i] for i in sorted(chosen)), examples=tuple(cases[i] for i in shown),
        entry_point=node.name, solutions=(code,), starter=problem.starter or header(node), held_out=(), meta=notes,
    )  # fmt: skip


def definition(code: str, entry_point: str | None) -> ast.FunctionDef:
    """The function that a program defines for others to call. Raises UsageError for what is no plain function."""
    tree = parse_python(code, "a function")
    functions = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)}
    if entry_point is None and len(functions) != 1:
        raise UsageError(f"it defines {len(functions)} functions, and no entry_point says which one")
    name = entry_point or next(iter(functions))
    node = functions.get(name)
    if node is None:
        raise UsageError(f"it defines no function {name!r} of its own (a method is not called)")
    if isinstance(node, ast.AsyncFunctionDef) or any(isinstance(n, ast.Yield | ast.YieldFrom) for n in ast.walk(node)):
        raise UsageError("it is asynchronous, or a generator")
    if node.args.vararg or node.args.kwarg:
        raise UsageError("it takes any number of arguments")
    return node


def types_of(node: ast.FunctionDef, problem: Problem) -> list[Type]:
    """The types of a function's parameters: as annotated, or else those of the arguments of the problem's cases.

    Parameters with a default and without an annotation are left to their default.

    Raises:
        UsageError: a type is not known, or nothing is drawn of it.
    """
    if any(default is None for default in node.args.kw_defaults):
        raise UsageError("it needs an argument by keyword")
    parameters = [*node.args.posonlyargs, *node.args.args]
    needed = len(parameters) - len(node.args.defaults)
    typed = next((i for i, each in enumerate(parameters) if each.annotation is None), len(parameters))
    if typed >= needed and typed:
        return [parse(each.annotation) for each in parameters[:typed]]
    if not parameters:
        raise UsageError("it takes no argument")
    if problem.cases == [_UNTESTED]:
        raise UsageError("its parameters have no types, and it has no cases whose arguments say them")
    calls = inputs_of(problem, node.name)
    if len({len(args) for args in calls}) > 1:
        raise UsageError("its parameters have no types, and its cases call it with different numbers of arguments")
    return [of_values(column) for column in zip(*calls, strict=True)]


def header(node: ast.FunctionDef) -> str:
    """The first line of a function, with its annotations."""
    bare = ast.FunctionDef(node.name, node.args, [ast.Pass()], [], node.returns)
    return ast.unparse(ast.fix_missing_locations(bare)).rpartition("\n")[0] + "\n"


def answered(
    judge: Sandbox, code: str, name: str, arguments: Sequence[Arguments], settings: Settings
) -> list[CallCase]:
    """A case for each input that has an answer. Raises UsageError if too few have."""
    runs = [(code, name, [Call(args, seed=seed) for args in arguments]) for seed in RUNS]
    answers = steady(ask(judge, runs, settings.largest))
    cases = [CallCase(args, a.value) for args, a in zip(arguments, answers, strict=True) if not a.why]
    if len(cases) < settings.least:
        raise UsageError(f"only {len(cases)} of {len(arguments)} inputs have an answer{_told(answers)}")
    return cases


def _told(answers: Sequence[Answer]) -> str:
    why = Counter(answer.why for answer in answers if answer.why).most_common(1)
    return f": most others {why[0][0]}" if why else ""


def _tried(
    problem: Problem, name: str, code: str, cases: list[CallCase], judge: Sandbox, rng: np.random.Generator,
    settings: Settings,
) -> tuple[list[CallCase], list[set[int]], int]:  # fmt: skip
    """The cases that the function itself passes, the mutants that each of them fails, and how many mutants there are."""
    wrong = [mutant.text for mutant in mutants(code, settings.mutants, rng)]
    if not wrong:
        raise UsageError("no wrong program can be made of it")
    asked = replace(problem, cases=tuple(cases), entry_point=name, examples=(), held_out=())
    asked = coverage.hurried(judge, asked, [code])
    failures = coverage.kills(judge, asked, cases, [code, *wrong])
    sound = [i for i, programs in enumerate(failures) if 0 not in programs]
    if len(sound) < settings.least:
        raise UsageError(f"it passes only {len(sound)} of {len(cases)} tests that it answered itself: it is unsteady")
    return [cases[i] for i in sound], [failures[i] for i in sound], len(wrong)


def _chosen(cases: Sequence[CallCase], killed: Sequence[set[int]], settings: Settings) -> list[int]:
    """The numbers of the tests: first those that fail mutants, then others by output, or the first drawn; no output is that of
    more than half."""
    sizes = [len(spelled(case.args)) for case in cases]
    outputs = [spelled(case.expected) for case in cases]
    if settings.choice == "drawn":
        chosen = list(range(len(cases))[: settings.tests])
    else:
        chosen = coverage.cover(killed, sizes, settings.tests)
        chosen += _different(cases, chosen, settings.tests - len(chosen))
    while chosen and (most := Counter(outputs[i] for i in chosen).most_common(1)[0])[1] * 2 > len(chosen):
        chosen.remove([i for i in chosen if outputs[i] == most[0]][-1])
    if len(chosen) < settings.least:
        raise UsageError("nearly all of its outputs are the same")
    return chosen


def _different(cases: Sequence[CallCase], taken: Sequence[int], count: int) -> list[int]:
    """The numbers of at most `count` more cases, each with an output that is rarest among those taken so far."""
    outputs, more = [spelled(case.expected) for case in cases], list[int]()
    while len(more) < min(count, len(cases) - len(taken)):
        seen = Counter(outputs[i] for i in (*taken, *more))
        free = (i for i in range(len(cases)) if i not in taken and i not in more)
        more.append(min(free, key=lambda i: (seen[outputs[i]], i)))
    return more
