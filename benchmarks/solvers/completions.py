"""Answers from a file of programs written elsewhere, `.jsonl` or `.json`, with or without `.gz`, or from a folder of them:

    {"task_id": "HumanEval/0", "completion": "    return ..."}       HumanEval: what follows the prompt
    {"task_id": "HumanEval/0", "solution": "def has_close ..."}      EvalPlus: the whole program
    HumanEval_0/0.py, HumanEval_0/1.py                               EvalPlus: the same as a folder
    [["def has_close ...", ...], ...]                                bigcode: whole programs, problems in order
    [{"question_id": "abc301_a", "code_list": ["n = ...", ...]}]     LiveCodeBench: whole programs of each problem
    {"mbpp/11": ["def f ...", ...], "mbpp/12": "def g ..."}          whole programs by id
    {"problem": "mbpp/11", "sample": 0, "text": "def f ...", ...}    samples.jsonl.gz of a record

`completion` and `solution` may be lists as well. An id is a problem's own, with `_` for `/` if need be, or what follows
the name of its data set in it (`11` of `mbpp/11`); capitals may differ.
How they were sampled is not in such a file; the record says so. A file that has more programs for each problem than a suite
wants has all of them judged, and the record says how many. Where it has more for some problems only, it is refused, since
leaving some out changes the figure: the solver's option `surplus=drop` judges the first ones, which the record then tells.
"""

from __future__ import annotations

import gzip
import hashlib
import io
import json
import zlib
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from benchmarks.core import Answer
from benchmarks.suites import Suite
from rltf_env.core import Problem
from rltf_env.datasets._files import parse, read_text
from rltf_env.errors import DataError, MissingData, UnknownName, UsageError
from rltf_env.joining import join
from rltf_env.plain import strings

FIELDS = ("completion", "solution", "code_list")
IDS = ("task_id", "question_id", "id")
SAMPLE = {"problem", "sample", "text"}  # what a record keeps of a program
LAYOUTS = "an object with task_id and completion or solution, an object of programs by id, or a list of programs"
Row = tuple[str, str]  # field, text


class Completions:
    """See the module's head. `by_id` has the programs by the ids of the file; after `answered`, by those of the problems."""

    batch, side_by_side = 64, 1

    def __init__(self, name: str, content: bytes, where: str, surplus: str = "error") -> None:
        self.name, self.where, self.surplus = name, where, surplus
        self.sha256 = hashlib.sha256(content).hexdigest()
        self.by_id: dict[str, list[Row]] = {}
        self.ordered: list[list[Row]] = []
        for at, value in _values(_unzipped(content, where), where):
            self._take(value, at)
        if bool(self.by_id) == bool(self.ordered):
            both = "both" if self.ordered else "neither"
            raise DataError(f"{where}: expected programs by task_id or lists of programs, got {both}.")

    def _take(self, value: Any, where: str) -> None:
        if isinstance(value, list):
            self.ordered.append([("solution", text) for text in strings(value, where)])
        elif not isinstance(value, dict) or not value:
            raise DataError(f"{where}: expected {LAYOUTS}, got {str(value)[:80]}.")
        elif value.keys() >= SAMPLE:
            self._take_row({"id": value["problem"], "solution": value["text"]}, where)
        elif value.keys().isdisjoint((*IDS, *FIELDS, "resps")):
            for id, programs in value.items():
                self._add(id, "solution", programs, f"{where}, {id}")
        else:
            self._take_row(value, where)

    def _take_row(self, row: dict[str, Any], where: str) -> None:
        id = next((str(row[name]) for name in IDS if type(row.get(name)) in (str, int)), None)
        fields = [name for name in FIELDS if row.get(name) is not None]
        if id is None or not fields:
            hint = " lm-eval's samples are a log: pass log:FILE." if "resps" in row else ""
            raise DataError(f"{where}: expected {LAYOUTS}, got {str(row)[:80]}.{hint}")
        field = fields[-1]  # EvalPlus writes two at times; the whole program is what it judges
        self._add(id, field, row[field], f"{where}, {field}")

    def _add(self, id: str, field: str, programs: Any, where: str) -> None:
        texts = (programs,) if isinstance(programs, str) else strings(programs, where)
        self.by_id.setdefault(id, []).extend((field, text) for text in texts)

    def describe(self) -> dict[str, Any]:
        """Plain data for the record: the kind, and the digest of the file."""
        return {
            "kind": "completions",
            "sha256": self.sha256,
            "sampling": "as the file's makers did; not recorded in it",
        }

    def answered(self, problems: Sequence[Problem]) -> list[Problem]:
        """Those of all the suite's problems for which there are programs. Fixes what the order in the file stands for.

        Raises:
            DataError: the file has programs for something else.
        """
        if self.ordered:
            if len(self.ordered) > len(problems):
                raise DataError(
                    f"{self.where}: expected programs for at most {len(problems)} problems, got {len(self.ordered)}."
                )
            self.by_id = {p.id: rows for p, rows in zip(problems, self.ordered, strict=False)}
        whole, ends = _spellings(problems)
        written, self.by_id = self.by_id, {}
        for id, rows in written.items():
            alike = whole.get(id.lower()) or ends.get(id.lower(), [])  # capitals count where they tell problems apart
            if id not in alike and len(alike) != 1:
                raise UnknownName(f"task_id of {self.where}:", id, [problem.id for problem in problems])
            self.by_id.setdefault(id if id in alike else alike[0], []).extend(rows)
        return [problem for problem in problems if problem.id in self.by_id]

    def samples(self, problems: Sequence[Problem], least: int) -> int:
        """How many programs a problem are to be judged: all, if each problem has the same number, and `least` at least."""
        counts = {len(self._rows(problem, least)) for problem in problems}
        return counts.pop() if len(counts) == 1 and self.surplus != "drop" else least

    def check(self, problems: Sequence[Problem], samples: int) -> list[str]:
        """How what will be judged departs from what the file has, in words.

        Raises:
            UsageError: the file has too few programs for one of these problems, or too many.
        """
        counts = {problem.id: len(self._rows(problem, samples)) for problem in problems}
        most = max(counts.values(), default=samples)
        if most == samples:
            return []
        if self.surplus == "drop":
            left = sum(counts.values()) - samples * len(counts)
            return [
                f"the first {samples} of up to {most} programs a problem, {left} of {sum(counts.values())} left out"
            ]
        id = next(id for id, count in counts.items() if count > samples)
        fewest = min(counts.values())
        remedy = f"Pass --samples {fewest} to have them judged" if fewest > samples else ""
        if fewest < most:
            remedy = (f"{remedy}, and" if remedy else "Pass") + " --option surplus=drop to leave out what is beyond"
        raise UsageError(
            f"Expected {_number(samples, 'program')} for {id!r} in {self.where}, got {counts[id]}, of which "
            f"{counts[id] - samples} would not be judged. {remedy}."
        )

    def write(self, problems: Sequence[Problem], samples: int, seed: int) -> list[list[Answer]]:
        """`samples` answers of the file to each problem; the seed has no say."""
        return [self._write(problem, samples) for problem in problems]

    def _write(self, problem: Problem, samples: int) -> list[Answer]:
        rows = self._rows(problem, samples)[:samples]
        return [Answer(join(problem.prefix, text).text if field == "completion" else text) for field, text in rows]

    def _rows(self, problem: Problem, samples: int) -> list[Row]:
        """All the programs for a problem, at least `samples`."""
        rows = self.by_id.get(problem.id, [])
        if len(rows) < samples:
            remedy = "Pass --answered to leave such problems out." if not rows else f"Pass --samples {len(rows)}."
            raise UsageError(
                f"Expected {samples} programs for {problem.id!r} in {self.where}, got {len(rows)}. {remedy}"
            )
        return rows


def _spellings(problems: Sequence[Problem]) -> tuple[dict[str, list[str]], dict[str, list[str]]]:
    """The ids of problems by what they are in lower case, and by other spellings of that; see the module's head."""
    whole, ends = dict[str, list[str]](), dict[str, list[str]]()
    for problem in problems:
        id = problem.id.lower()
        whole.setdefault(id, []).append(problem.id)
        for other in {id.partition("/")[2], id.replace("/", "_")} - {"", id}:
            ends.setdefault(other, []).append(problem.id)
    return whole, ends


def _number(count: int, noun: str) -> str:
    return f"{count} {noun}{'s' * (count != 1)}"


def _values(content: bytes, where: str) -> Iterator[tuple[str, Any]]:
    """The objects or lists of a file, each with its place."""
    document = _document(content)
    if isinstance(document, dict):
        yield f"{where}:1", document
    elif isinstance(document, list):
        rows = [document] if document and isinstance(document[0], str) else document  # one problem's programs alone
        yield from ((where, row) for row in rows)
    else:
        for number, line in enumerate(content.splitlines(), 1):
            if line.strip():
                yield f"{where}:{number}", parse(line, f"{where}:{number}")


def _document(content: bytes) -> Any:
    """The JSON value that the whole content is; None if it is several, a line each."""
    try:
        return parse(content, "")
    except DataError:
        return None


def _unzipped(content: bytes, where: str) -> bytes:
    if content[:2] != b"\x1f\x8b":
        return content
    try:
        return gzip.GzipFile(fileobj=io.BytesIO(content)).read()
    except (OSError, EOFError, zlib.error) as error:
        raise DataError(f"{where}: expected a gzip file, got {error}. Fetch the file again.") from error


def programs_in(folder: Path) -> list[Path]:
    """The programs of a folder in EvalPlus's layout, ID/NUMBER.py, those of a problem in the order of their numbers."""
    files = [path for path in folder.glob("*/*.py") if path.stem.isdecimal() and path.is_file()]
    return sorted(files, key=lambda path: (path.parent.name, int(path.stem)))


def _rows_of(files: Sequence[Path]) -> bytes:
    """The file that would hold the same programs."""
    rows = ({"task_id": path.parent.name, "solution": read_text(path)} for path in files)
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


SURPLUS = ("error", "drop")


def load(spec: str, suite: Suite, *, surplus: str = "error") -> Completions:
    """The solver of the file `spec`.

    Args:
        surplus: what becomes of programs beyond those that the suite wants of each problem: an `error`, or `drop`.
    """
    if surplus not in SURPLUS:
        raise UnknownName("value of surplus", surplus, SURPLUS)
    path = Path(spec)
    if files := programs_in(path):
        return Completions(path.resolve().name, _rows_of(files), path.name, surplus)
    if not path.is_file():
        raise MissingData(f"Expected a file of completions, got {spec!r}, which is no file.")
    return Completions(path.name.partition(".")[0], path.read_bytes(), path.name, surplus)
