"""Problem -> prompt: the text that a policy reads before it writes a program.

    render(problem)                       in the problem's own style
    chat(problem, apply_chat_template)    one message to an instruct model
    fit(problem, tokenizer, limit)        tokens, at most `limit`
    repair(problem, program, report)      the problem of putting a program right

A style is a function of a problem. The code that a problem gives for free (`Problem.prefix`) is never in the prompt: the
program begins with it, so a policy reads it right after the prompt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from types import MappingProxyType
from typing import Any

from rltf_env._renamed import renamed
from rltf_env.core import CallCase, Case, CaseResult, Outcome, Problem, ScriptCase, StdinCase, Tokenizer, Verdict
from rltf_env.errors import UnknownName, UsageError
from rltf_env.plain import spelled

Style = str | Callable[[Problem], str]


def render(problem: Problem, style: Style | None = None) -> str:
    """The prompt of `problem`.

    Args:
        style: a name in `STYLES`, or a function of your own; without it, `default_style(problem)`.

    Raises:
        UnknownName: no such style.
    """
    if callable(style):
        return style(problem)
    name = default_style(problem) if style is None else style
    if name not in STYLES:
        raise UnknownName("prompt style", name, STYLES)
    return STYLES[name](problem)


def default_style(problem: Problem) -> str:
    """The style that a problem asks for in `meta["style"]`, or else that of its kind.

    Code to complete (its statement is code that is given for free): `completion`. Asserts: `mbpp`. Standard input: `rltf`. A
    function that is called: `plain`.
    """
    if "style" in problem.meta:
        return str(problem.meta["style"])
    if problem.statement and problem.prefix.startswith(problem.statement):
        return "completion"
    if isinstance(problem.cases[0], ScriptCase):
        return "mbpp"
    return "rltf" if problem.entry_point is None else "plain"


# ------------------------------------------------------------------------------------------------------------- styles


def rltf(problem: Problem) -> str:
    """CodeRL's and RLTF's text for APPS (arXiv 2207.01780, 2307.04349): question, starter code, how input comes, ANSWER."""
    way = "Standard Input" if problem.entry_point is None else "Call-Based"
    return f"\nQUESTION:\n{problem.statement}\n{problem.starter}\n\nUse {way} format\n\nANSWER:\n"


def mbpp(problem: Problem) -> str:
    """The text of RLTF's MBPP evaluation: the description, and the public asserts."""
    asserts = "".join(f"{line}\n" for line in visible_examples(problem))
    return f"{problem.statement}\n" + (f"Your code should satisfy these tests:\n{asserts}" if asserts else "")


def plain(problem: Problem) -> str:
    """The statement, the public examples that it does not hold itself, one a line, and a newline."""
    return "".join(f"{part}\n" for part in (problem.statement, *_examples_beside(problem)))


def statement(problem: Problem) -> str:
    """The statement alone, and a newline."""
    return f"{problem.statement}\n"


def examples(problem: Problem) -> str:
    """The public examples and nothing else, one a line: what is asked is whatever does that."""
    if not problem.examples:
        raise UsageError(f"Expected problem {problem.id!r} to have public examples, got none. Pick another style.")
    return "".join(f"{line}\n" for line in visible_examples(problem))


def completion(problem: Problem) -> str:
    """Nothing: the code given for free, with which the program begins, says it all (HumanEval)."""
    if not problem.prefix:
        raise UsageError(f"Expected problem {problem.id!r} to have a prefix to complete, got none. Pick another style.")
    return ""


STYLES: MappingProxyType[str, Callable[[Problem], str]] = MappingProxyType(
    {"rltf": rltf, "mbpp": mbpp, "plain": plain, "statement": statement, "completion": completion, "examples": examples}
)


def visible_examples(problem: Problem) -> Sequence[str]:
    """The public examples as text: `f([1, 2]) == 3` for a call, the assert itself, input and output."""
    return [_show(case, problem.entry_point) for case in problem.examples]


def _examples_beside(problem: Problem) -> Sequence[str]:
    """The public examples as text, unless the statement has them already (`meta["examples_in"]`), as APPS's do."""
    return [] if problem.meta.get("examples_in") == "statement" else visible_examples(problem)


def _show(case: Case, entry_point: str | None) -> str:
    match case:
        case CallCase(args, expected, kwargs):
            passed = ", ".join([*map(spelled, args), *(f"{name}={spelled(value)}" for name, value in kwargs.items())])
            return f"{(entry_point or 'f').replace('Solution.', 'Solution().', 1)}({passed}) == {spelled(expected)}"
        case ScriptCase(script):
            return script
        case StdinCase(stdin, stdout):
            return f"Input:\n{stdin.rstrip()}\nOutput:\n{stdout.rstrip()}"


# --------------------------------------------------------------------------------------------------------------- stops

# Texts that end a program where a base model continues code and does not end by itself: those of HumanEval's paper (arXiv
# 2107.03374, section 2.1), of MBPP and of APPS as the code evaluation harness of BigCode has them.
BODY_STOPS = ("\nclass ", "\ndef ", "\n#", "\nif ", "\nprint(")
FUNCTION_STOPS = ("\nclass ", "\nassert ", '\n"""', "\nprint(", "\nif ", "\n<|/", "\n```")
PROGRAM_STOPS = ("\nQUESTION", "\n---", "\nANSWER")


def stops(problems: Sequence[Problem]) -> tuple[str, ...]:
    """The customary stop texts for a base model that continues these problems' prompts.

    A body to complete: what begins the next statement of its file. A function to write: its tests, and whatever else is no
    function. A program that reads standard input may do anything, so only the next question ends it; so it is where problems
    are of several kinds.
    """
    kinds = {_stops(problem) for problem in problems}
    return kinds.pop() if len(kinds) == 1 else PROGRAM_STOPS


def _stops(problem: Problem) -> tuple[str, ...]:
    if default_style(problem) == "completion":
        return BODY_STOPS
    function = problem.entry_point is not None or isinstance(problem.cases[0], ScriptCase)
    return FUNCTION_STOPS if function else PROGRAM_STOPS


# --------------------------------------------------------------------------------------------------------------- chat


def chat(problem: Problem, apply_chat_template: Callable[..., Any], *, opening: str = "") -> str:
    """One user message that states the task and asks for Python code and nothing else, ready for the assistant's answer.

    Args:
        apply_chat_template: the method of that name of a transformers tokenizer.
        opening: what the assistant is made to begin with, such as a code fence; the program starts behind it.
    """
    return apply_chat_template([message(problem)], tokenize=False, add_generation_prompt=True) + opening


def message(problem: Problem) -> dict[str, str]:
    """The user message of `chat`, for whoever puts it into a model's format himself."""
    return {"role": "user", "content": _task(problem)}


def _task(problem: Problem) -> str:
    parts = [problem.statement.strip("\n")]
    if problem.prefix.startswith(problem.statement):  # the task is the code that is given
        parts = [f"Complete this code:\n{problem.prefix.strip()}"]
    elif problem.prefix:
        parts.append(f"The program begins with this code:\n{problem.prefix.strip()}")
    if problem.starter.strip():
        parts.append(f"Begin with:\n{problem.starter.rstrip()}")
    if problem.entry_point is None and not isinstance(problem.cases[0], ScriptCase):
        parts.append("The program reads standard input and writes standard output.")
    elif not (problem.starter.strip() or problem.prefix or problem.examples):
        parts.append(f"Name the function `{problem.entry_point}`.")
    if untold := _examples_beside(problem):
        parts.append("\n".join(["Your code should satisfy these tests:", *untold]))
    return "\n\n".join([*parts, "Answer with Python code only, without any explanation."])


# ------------------------------------------------------------------------------------------------------------- repair

REPORT = 4000  # characters of what is said of a program; a longer report loses its middle
TURNS = 2  # programs that a repair speaks of: the wrong one, and the one that is asked for


def attempts(tries: Sequence[tuple[str, str]], of: int) -> str:
    """Programs that failed, each with its report, and the request for the next: what every repair is asked with.

    `TextEnv` shows it after the prompt, `repair` in the statement. Of `of` programs that there may be.
    """
    shown = [
        f"\nProgram {number} of {of}:\n{program.rstrip()}\n\nResult:\n{report}"
        for number, (program, report) in enumerate(tries, 1)
    ]
    return "".join([*shown, f"\nProgram {len(tries) + 1} of {of}, from its beginning:\n"])


def report(problem: Problem, verdict: Verdict, public: Verdict | None) -> str:
    """What is said of a program that failed: of public examples one by one, and of the rest that there is one.

    Args:
        verdict: on all cases; nothing that hidden ones hold is said.
        public: on the examples alone; None: the problem has none.
    """
    return clipped(_report(problem, verdict, public), REPORT)


def _report(problem: Problem, verdict: Verdict, public: Verdict | None) -> str:
    if public is None:  # a syntax error is the program's own, whatever it is tested with
        words = _outcome(without_contents(verdict.results[0]))
        return f"{words}\n" if verdict.outcome is Outcome.SYNTAX_ERROR else "Fails tests that are not shown.\n"
    hidden = public.outcome is Outcome.PASSED
    lines = _on_examples(visible_examples(problem), public.results)
    return "".join([*lines, *(["Fails tests that are not shown.\n"] if hidden else [])])


def _on_examples(shown: Sequence[str], results: Sequence[CaseResult]) -> list[str]:
    """Each example with its result. Of a suite, which has a result for each of its tests, the text and then the results."""
    ends = [f"-> {_outcome(result)}\n" for result in results]
    if len(shown) != len(ends):
        return [*(f"{example}\n" for example in shown), *ends]
    return [f"{example}\n{end}" for example, end in zip(shown, ends, strict=True)]


def _outcome(result: CaseResult) -> str:
    failure = result.failure
    if failure is None:
        return "passed"
    where = f" on line {failure.line}" if failure.line else ""
    message = failure.message.encode("utf-8", "replace").decode()
    return f"{failure.kind}{where}" + (f": {message}" if message else "")


def without_contents(result: CaseResult) -> CaseResult:
    """The result without what could tell what its case holds: output and message."""
    return replace(result, stdout="", failure=result.failure and replace(result.failure, message=""))


def clipped(text: str, most: int) -> str:
    """`text`, or its two ends."""
    half = (most - 5) // 2
    return text if len(text) <= most else f"{text[:half]}\n...\n{text[-half:]}"


def repair(problem: Problem, program: str, report: str) -> Problem:
    """The problem of putting a wrong program right: its statement goes on with the program and its `report`.

    What CodeRL's repair model reads (arXiv 2207.01780, section 3.4), in the words of `TextEnv`: where a prompt is its statement,
    it is what a repair twin of two turns shows.
    """
    asked = attempts([(program, report)], TURNS).rstrip("\n")
    meta = {**problem.meta, "examples_in": "statement"}  # the report has them
    return replace(problem, statement=f"{problem.statement.rstrip()}\n{asked}".lstrip("\n"), meta=meta)


def fitting_repair(
    problem: Problem, program: str, report: str, tokens: Callable[[Problem], int], room: float
) -> Problem | None:
    """`repair`, with as many of the program's first lines as leave a prompt of at most `room` tokens.

    Args:
        tokens: how many a problem's prompt has.

    None where the problem and the report alone are longer.
    """
    lines = program.splitlines(keepends=True)
    while True:
        asked = repair(problem, "".join(lines), report)
        if tokens(asked) <= room:
            return asked
        if not lines:
            return None
        lines.pop()


# ------------------------------------------------------------------------------------------------------------- budget


def fit(
    problem: Problem, tokenizer: Tokenizer, limit: int, style: Style | None = None, *, on_long: str = "error"
) -> list[int]:
    """The tokens of the prompt, at most `limit` of them.

    Args:
        on_long: what to do with a longer prompt. `"error"`, or `"truncate"`: as CodeRL and RLTF do, the statement loses its
            end, so that what comes after it (tests, format, ANSWER) survives. If that is too long by itself, as many of the
            examples go, from the last one on, as have to.

    Raises:
        UsageError: the prompt is longer than `limit`; or it would be even without a statement and examples.
        UnknownName: no such style, or another value of `on_long`.
    """
    if on_long not in ("error", "truncate"):
        raise UnknownName("value of on_long", on_long, ("error", "truncate"))
    encode = getattr(tokenizer, "encode_prompt", tokenizer.encode)
    tokens = encode(render(problem, style))
    if len(tokens) <= limit:
        return tokens
    if on_long == "error":
        raise UsageError(
            f"Expected a prompt of at most {limit} tokens, got {len(tokens)} for problem {problem.id!r}. "
            'Raise the limit, leave the problem out, or cut its statement with on_long="truncate" (in an environment, '
            'on_long_prompt="truncate").'
        )
    return _longest(problem, tokenizer, limit, default_style(problem) if style is None else style)


def _longest(problem: Problem, tokenizer: Tokenizer, limit: int, style: Style) -> list[int]:
    """The prompt with as much of the statement as `limit` allows: a binary search, since tokens of texts do not add up."""

    def tokens(characters: int) -> list[int]:
        shorter = replace(problem, statement=problem.statement[:characters], examples=problem.examples[:examples])
        return getattr(tokenizer, "encode_prompt", tokenizer.encode)(render(shorter, style))

    examples = len(problem.examples)
    best = tokens(0)
    while len(best) > limit and examples:
        examples -= 1
        best = tokens(0)
    if len(best) > limit:
        raise UsageError(
            f"Expected a prompt of at most {limit} tokens, got {len(best)} for problem {problem.id!r} without any statement and "
            "examples. Raise the limit or leave the problem out."
        )
    low, high = 0, len(problem.statement)  # `low` characters fit, `high` do not
    while high - low > 1:
        middle = (low + high) // 2
        shorter_prompt = tokens(middle)
        low, high, best = (middle, high, shorter_prompt) if len(shorter_prompt) <= limit else (low, middle, best)
    return best


__getattr__ = renamed(__name__, {"shown": "visible_examples"})
