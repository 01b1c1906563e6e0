"""BLEU-4 of texts, for data without tests, such as CodeTask-CL's own (arXiv 2307.02435).

    BLEU = BP * (p1 p2 p3 p4)^(1/4)           BP = 1 if c >= r, else exp(1 - r / c)
    p1 = m1 / c1,   pn = (mn + 1) / (cn + 1)  for n = 2, 3, 4

c and r are the numbers of tokens of candidate and reference, cn the n-grams of the candidate, mn those
of them that the reference has too, each as often as there. Sentences are smoothed as by Lin and Och
(2004, BLEU+1), as the code of CodeXGLUE does. A token is a word, a number, or one other character; the
paper's tokens are not known to us, so figures are comparable with our own only.
"""

from __future__ import annotations

import hashlib
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from rltf_env.core import Problem, StdinCase

ORDER = 4
COLUMNS = (("source", "target"), ("nl", "code"), ("java", "cs"), ("buggy", "fixed"), ("code", "docstring"))
_TOKEN = re.compile(r"\w+|[^\w\s]")


def tokens(text: str) -> list[str]:
    """Words, numbers and single other characters."""
    return _TOKEN.findall(text)


def bleu4(candidate: Sequence[str], reference: Sequence[str]) -> float:
    """BLEU of one text against one other, both as tokens, in [0, 1]; 0 where no token is shared."""
    if not candidate or not reference:
        return float(not candidate and not reference)
    logs = 0.0
    for n in range(1, ORDER + 1):
        ours, theirs = _ngrams(candidate, n), _ngrams(reference, n)
        matches, smooth = (ours & theirs).total(), int(n > 1)
        if matches + smooth == 0:
            return 0.0
        logs += math.log((matches + smooth) / (ours.total() + smooth))
    brevity = min(0.0, 1 - len(reference) / len(candidate))
    return math.exp(brevity + logs / ORDER)


def best(candidate: str, references: Sequence[str]) -> float:
    """BLEU of a text against the reference that it is nearest to."""
    return max(bleu4(tokens(candidate), tokens(reference)) for reference in references)


def _ngrams(words: Sequence[str], n: int) -> Counter[tuple[str, ...]]:
    return Counter(tuple(words[i : i + n]) for i in range(len(words) - n + 1))


def text_pair(row: Mapping[str, Any]) -> Problem | None:
    """A row of two texts as a problem, for `convert = "benchmarks.continual.bleu:text_pair"` of a `hub:` dataset.

    The columns are the first of `COLUMNS` that are both there. Nothing can judge such a problem: its one
    case asks for the target to be printed, and scores of it are BLEU (`score = "bleu"`).
    """
    names = next((pair for pair in COLUMNS if all(name in row for name in pair)), None)
    if names is None:
        return None
    source, target = (" ".join(t) if isinstance(t := row[name], list) else str(t) for name in names)
    id = str(row.get("id", "")) or hashlib.sha256(f"{source}\n{target}".encode()).hexdigest()[:16]
    return Problem(id, source, [StdinCase("", target)], solutions=[target]) if source and target else None
