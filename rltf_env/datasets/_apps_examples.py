"""The public examples of an APPS problem: the samples in its statement, where it is beyond doubt what they are.

CodeRL reads them out of the statements too (arXiv 2207.01780, section 3.4); its rules are more generous. Here a sample that
is read wrongly would call right programs wrong, so doubt of any kind means no examples at all for this problem. Two
layouts are read, those of statements whose sections begin with a line `-----Name-----`:

    -----Examples-----                      -----Sample Input-----
    Input                                   3 5
    3 5
                                            -----Sample Output-----
    Output                                  5
    5

A sample whose input is also a test is that test, if its output begins like the test's and goes on, if at all, after a blank
line: AtCoder's statements explain there. Any other sample is in doubt if it is empty, has a blank line inside, or has a line that
begins like a heading or an explanation, or a picture. All of them are in doubt if inputs and outputs do not take turns,
if a test gives a sample's input another output, or if the statement speaks of several right answers or of
interaction. Problems that call a function have no examples.
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from rltf_env.core import Case, StdinCase

_SECTION = re.compile(r"^-----(.+?)-----[ \t]*$", re.MULTILINE)
_PART = re.compile(r"^(?:Sample )?(Input|Output)(?: \d+)?:?[ \t]*$", re.MULTILINE)
_SAMPLE = re.compile(r"sample (input|output)(?: ?#?(\d+))?:?", re.IGNORECASE)
_PROSE = re.compile(
    r"\s*(input|output|sample|example|explanation|note|constraints|subtask|test case|in the|\.\.\.$|.*(<image>|\[image\]|!\[))",
    re.IGNORECASE,
)
_SEVERAL = re.compile(
    r"\b(some possible|any of (them|these|those)|any (one|valid|correct|possible|suitable|order|such|solution|answer)"
    r"|(multiple|several|many|more than one)( \w+)? (answers?|solutions?|ways?|optimal|outputs?)|(print|output|find|choose) any"
    r"|absolute or relative|relative or absolute|interactive|interactor|flush)\b",
    re.IGNORECASE,
)


def examples(statement: str, cases: Sequence[Case]) -> tuple[StdinCase, ...]:
    """The samples of `statement`, each without doubt; else ().

    Args:
        cases: the problem's tests. If they call a function, or are not in memory, there are no examples.
    """
    if not isinstance(cases, tuple) or not all(isinstance(case, StdinCase) for case in cases):
        return ()
    statement = statement.replace("\r\n", "\n")
    if _SEVERAL.search(statement):
        return ()
    tests = {_trimmed(case.stdin): case for case in reversed(cases) if isinstance(case, StdinCase)}
    pairs = [_example(stdin, right, tests.get(_trimmed(stdin))) for stdin, right in _samples(statement)]
    return tuple(dict.fromkeys(case for case in pairs if case)) if all(pairs) else ()


def _example(stdin: str, right: str, test: StdinCase | None) -> StdinCase | None:
    """The example that a sample makes; None in doubt."""
    if test is not None:
        stdout, expected = _trimmed(right), _trimmed(test.stdout)
        return test if expected and f"{stdout}\n\n".startswith(f"{expected}\n\n") else None
    return None if _doubtful(right) else StdinCase(f"{stdin}\n", f"{right}\n")


def _samples(statement: str) -> list[tuple[str, str]]:
    """Input and output of each sample, without line ends around them, and what follows the output; [] in doubt."""
    _, *pieces = _SECTION.split(statement)
    sections = list(zip([title.strip() for title in pieces[::2]], pieces[1::2], strict=True))
    together = [body for title, body in sections if title.rstrip(":").lower() in ("example", "examples")]
    apart = [(match, body) for title, body in sections if (match := _SAMPLE.fullmatch(title))]
    if bool(together) == bool(apart) or len(together) > 1:
        return []
    return _paired(_parts(together[0]) if together else [(match[1], match[2], body) for match, body in apart])


Part = tuple[str, str | None, str]  # input or output, its number if it has one, what follows


def _parts(body: str) -> list[Part]:
    before, *pieces = _PART.split(body)
    if before.strip():
        return []
    return [(kind, None, text) for kind, text in zip(pieces[::2], pieces[1::2], strict=True)]


def _paired(parts: Sequence[Part]) -> list[tuple[str, str]]:
    inputs, outputs = parts[::2], parts[1::2]
    if len(inputs) != len(outputs):
        return []
    pairs: list[tuple[str, str]] = []
    for (first, number, stdin), (second, same, right) in zip(inputs, outputs, strict=True):
        turns = (first.lower(), second.lower()) == ("input", "output") and number == same
        if not turns or _doubtful(stdin):
            return []
        pairs.append((stdin.strip("\n"), right.strip("\n")))
    return pairs


def _doubtful(text: str) -> bool:
    lines = text.strip().split("\n")
    return any(not line.strip() or _PROSE.match(line) for line in lines)


def _trimmed(text: str) -> str:
    return "\n".join(line.rstrip() for line in text.strip().splitlines())
