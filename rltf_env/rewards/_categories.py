"""Where an error's blame lies: Table 2 of RLTF (arXiv 2307.04349), decided by data and never by the text of a message.

What decides is the exception's class with its ancestors, `Failure.detail`, the line, and whether the program was cut off
at the length limit. Categories: `"line"` (U_line), `"global"` (U_global), `"ignore"` (U_ignore).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from rltf_env.core import Attempt, Failure, FailureKind, Outcome, Program, line_starts
from rltf_env.errors import UsageError
from rltf_env.rewards._options import choice

LINE, GLOBAL, IGNORE = CATEGORIES = ("line", "global", "ignore")

# The rows of Table 2; "Class:detail" is a narrower name than "Class". A class that is not listed has the category of its
# nearest listed ancestor, else U_line ("anything else").
TABLE_2: Mapping[str, str] = MappingProxyType(
    {
        "SyntaxError": LINE,  # and U_global when caused by truncation: `category`
        "SyntaxError:triple_quote": IGNORE,
        "IndentationError": IGNORE,
        "TabError": IGNORE,  # a subclass of it
        "IndexError": LINE,
        "TypeError": LINE,
        "ValueError": LINE,
        "EOFError": LINE,
        FailureKind.TIMEOUT: GLOBAL,
        "NameError": LINE,
        "KeyError": LINE,
        "ImportError": LINE,
        "ZeroDivisionError": LINE,
        "RecursionError": GLOBAL,
        # Not in the table. Like time, memory is used up by the program as a whole; the line that asked last is an accident.
        "MemoryError": GLOBAL,
        FailureKind.MEMORY_LIMIT: GLOBAL,
    }
)

_KINDS = frozenset(value for name, value in vars(FailureKind).items() if name.isupper())


def table(overrides: Mapping[str, str] | None) -> Mapping[str, str]:
    """Table 2 with some rows replaced or added: `{"Timeout": "ignore", "KeyError:...": "global"}`."""
    overrides = overrides or {}
    if not isinstance(overrides, Mapping):
        raise UsageError(f'Expected categories as a mapping such as {{"Timeout": "ignore"}}, got {overrides!r}.')
    for name, value in overrides.items():
        choice(f"category for {name!r}", value, CATEGORIES)
    return MappingProxyType({**TABLE_2, **overrides})


def category(attempt: Attempt, rows: Mapping[str, str] = TABLE_2) -> str | None:
    """The category of an attempt's error; None when the program ran to its end.

    Rules where Table 2 is silent or ambiguous:

    - *Cut off by the length limit.* A program that does not compile and was truncated is U_global, whichever way the
      cut shows: an open bracket (reported on the line that opened it, so the line can't tell), an open triple-quoted
      string, a statement cut in half. Only an indentation error in the middle of the text stays U_ignore: it
      is reported where it stands, and so was not caused by the cut.
    - *A SyntaxError at run time* comes from text that the program itself compiled (`eval`, an import). The line that did so
      is to blame: it counts as a plain SyntaxError.
    - *An end without a line.* What is no exception and names no line (killed, exited, too much output, no entry point)
      is U_global. An exception without a line stays U_line, on no token.
    """
    verdict, failure = attempt.verdict, attempt.verdict.failure
    if failure is None or verdict.outcome not in (Outcome.SYNTAX_ERROR, Outcome.RUNTIME_ERROR):
        return None
    if verdict.outcome is Outcome.SYNTAX_ERROR and attempt.program.truncated and _by_the_cut(failure, attempt.program):
        return GLOBAL
    place = _look_up(failure, rows, at_run_time=verdict.outcome is Outcome.RUNTIME_ERROR)
    if place == LINE and failure.line is None and failure.kind in _KINDS:
        return GLOBAL
    return place


def _look_up(failure: Failure, rows: Mapping[str, str], *, at_run_time: bool) -> str:
    names = [failure.kind, *failure.bases]
    if at_run_time and failure.is_a("SyntaxError", "IndentationError", "TabError"):
        names = ["SyntaxError"]
    elif failure.detail:
        names = [f"{failure.kind}:{failure.detail}", *names]
    return next((rows[name] for name in names if name in rows), LINE)


def _by_the_cut(failure: Failure, program: Program) -> bool:
    if not failure.is_a("IndentationError", "TabError"):
        return True
    starts = line_starts(program.text)
    if failure.line is None or not 1 <= failure.line < len(starts):  # unknown, or the last line
        return True
    return not program.text[starts[failure.line] :].strip()
