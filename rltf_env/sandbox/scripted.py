"""The public fake: verdicts by rule, nothing runs. For tests of environments, rewards and agents.

    sandbox.load("scripted", rules={"x = 1": Outcome.PASSED, "loop()": "Timeout"})
    sandbox.load("scripted", rules=lambda source, problem: Outcome.PASSED if "return" in source else "NameError")

What a rule gives becomes the verdict: a `Verdict` as it is; an `Outcome` or a `bool` (passed, or wrong answer) for every case;
the name of a failure's kind; a `Failure`; a sequence of these, one for each case. An exception is raised, by `run` and out of
the future, as a sandbox's own failure would be: `SandboxError("down")`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future
from typing import Any

from rltf_env._renamed import renamed_attributes
from rltf_env.core import CaseResult, Failure, FailureKind, Outcome, Problem, Verdict
from rltf_env.errors import UsageError

Answer = Verdict | Outcome | bool | str | Failure | Exception | Sequence[Any]
Rules = Mapping[str, Answer] | Callable[[str, Problem], Answer]


def load(rules: Rules | None = None, default: Answer = Outcome.WRONG_ANSWER) -> ScriptedSandbox:
    """A sandbox that follows `rules`: a mapping from program texts, or a function of program and problem.

    Args:
        default: the answer to a program that the mapping does not have.
    """
    return ScriptedSandbox({} if rules is None else rules, default)


@renamed_attributes(seen="requests")
class ScriptedSandbox:
    """See the module's head. `requests` lists the programs it was asked about, in order, with their problems."""

    judges = False  # for `testing.check_sandbox`: programs are looked up, not run

    def __init__(self, rules: Rules, default: Answer) -> None:
        if not callable(rules) and not isinstance(rules, Mapping):
            raise UsageError(f"Expected rules to be a mapping or a function, got {type(rules).__name__}.")
        self.rules, self.default = rules, default
        self.requests: list[tuple[str, Problem]] = []
        self.closed = False

    def run(self, source: str, problem: Problem) -> Verdict:
        """The verdict that the table or rule has for the program; an exception in its place is raised."""
        if self.closed:
            raise UsageError("Expected an open sandbox, got one that was closed. Load another.")
        self.requests.append((source, problem))
        answer = self.rules(source, problem) if callable(self.rules) else self.rules.get(source, self.default)
        return verdict(answer, problem)

    def submit(self, source: str, problem: Problem) -> Future[Verdict]:
        """The same as a future, which is done at once."""
        future: Future[Verdict] = Future()
        future.set_running_or_notify_cancel()
        try:
            future.set_result(self.run(source, problem))
        except UsageError:
            raise
        except Exception as error:
            future.set_exception(error)
        return future

    def map(self, jobs: Iterable[tuple[str, Problem]]) -> Iterator[Verdict]:
        """Verdicts in the order of `jobs`, one at a time."""
        for source, problem in jobs:
            yield self.run(source, problem)

    def close(self) -> None:
        """From now on `run` raises UsageError."""
        self.closed = True

    def __enter__(self) -> ScriptedSandbox:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()


def verdict(answer: Answer, problem: Problem) -> Verdict:
    """The verdict that `answer` stands for; an exception is raised."""
    if isinstance(answer, Exception):
        raise answer
    if isinstance(answer, Verdict):
        return answer
    count = len(problem.cases)
    each = [answer] * count if isinstance(answer, (int, str, Failure)) else list(answer)
    if len(each) != count:
        raise UsageError(f"Expected an answer for each of the {count} cases of {problem.id!r}, got {len(each)}.")
    return Verdict(tuple(map(_result, each)), judged_by="scripted")


_KINDS = {Outcome.SYNTAX_ERROR: "SyntaxError", Outcome.RUNTIME_ERROR: "RuntimeError"}


def _result(answer: Any) -> CaseResult:
    if isinstance(answer, CaseResult):
        return answer
    if isinstance(answer, bool):
        answer = Outcome.PASSED if answer else Outcome.WRONG_ANSWER
    if isinstance(answer, Outcome):
        failure = None if answer is Outcome.PASSED else Failure(_KINDS.get(answer, FailureKind.WRONG_ANSWER))
        return CaseResult(answer, failure)
    if isinstance(answer, str):
        answer = Failure(answer)
    if isinstance(answer, Failure):
        return CaseResult(_outcome(answer), answer)
    raise UsageError(f"Expected a Verdict, an Outcome, True or False, a Failure or its kind, got {answer!r}.")


def _outcome(failure: Failure) -> Outcome:
    if failure.is_a("SyntaxError", "IndentationError", "TabError"):
        return Outcome.SYNTAX_ERROR
    wrong = failure.kind in (FailureKind.WRONG_ANSWER, FailureKind.UNREPRESENTABLE)
    return Outcome.WRONG_ANSWER if wrong else Outcome.RUNTIME_ERROR
