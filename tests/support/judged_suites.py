"""What the judge says of a suite, and what a falsified copy of a test says in plain Python."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from typing import Any

from rltf_env.core import Problem, Sandbox, ScriptCase, Verdict
from rltf_env.sandbox.referee import suite
from rltf_env.sandbox.referee.canaries import Canaries, Falsehood, Target


def judged(judge: Sandbox, program: str, test: str, *solutions: str, entry_point: str | None = None) -> Verdict:
    """The verdict on a program under one script."""
    return judge.run(program, Problem("suite", "s", [ScriptCase(test)], entry_point, solutions=list(solutions)))


def share(verdict: Verdict) -> tuple[int, int]:
    """How many tests were passed, of how many."""
    return sum(result.failure is None for result in verdict.results), len(verdict.results)


def copies(test: str, draws: int, *, sound: bool = True) -> Iterator[tuple[str, Target]]:
    """The text of each falsified copy of a test of `f`, with what is false there; if `sound`, so for every right program."""
    canaries = Canaries(suite.read([test], "f", {"f"}, ["numpy", "pytest"]), ["f"])
    for target in [target for targets in canaries.targets.values() for target in targets if target.sound or not sound]:
        for seed in range(draws):
            (tree,) = canaries.falsified([Falsehood(target, seed)])
            yield ast.unparse(tree), target


def holds(test: str, program: str) -> bool:
    """True if a program passes a script that follows it in one plain file."""
    namespace: dict[str, Any] = {"__name__": "__main__"}
    exec(program, namespace)
    try:
        exec(test, namespace)
    except SystemExit as end:
        return not end.code
    except Exception:
        return False
    return True
