"""The problems that a host of a judge knows: those it was started with, by id; those that clients sent, by digest."""

from __future__ import annotations

import json
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from typing import Any

from rltf_env import plain
from rltf_env.core import Problem
from rltf_env.errors import UnknownName, UsageError
from rltf_env.sandbox import protocol


class ProblemStore:
    """Problems by digest and by id.

    Equal problems are one object, whoever sends them: the judge remembers its verdicts by it.

    Args:
        named: those that may be asked for by id. They stay.
        room: bytes of those that clients send; the one asked for longest ago goes first.
    """

    def __init__(self, named: Iterable[Problem], room: int) -> None:
        self.named: dict[str, Problem] = {}
        self.digests: dict[str, str] = {}  # of those with a name
        self.room, self.used = room, 0
        self._kept: dict[str, Problem] = {}
        self._sent: OrderedDict[str, tuple[Problem, int]] = OrderedDict()
        for problem in named:
            if problem.id in self.named:
                raise UsageError(f"Expected problems with unique ids, got {problem.id!r} twice.")
            self.named[problem.id] = problem
            self.digests[problem.id] = key = protocol.digest(problem)
            self._kept[key] = problem

    def __len__(self) -> int:
        return len(self._kept) + len(self._sent)

    def get(self, key: str) -> Problem | None:
        """The problem of this digest, if it is known."""
        if key in self._kept:
            return self._kept[key]
        if key not in self._sent:
            return None
        self._sent.move_to_end(key)
        return self._sent[key][0]

    def find(self, id: str) -> Problem:
        """The problem of this id. Raises UnknownName."""
        if id not in self.named:
            raise UnknownName("problem", id[:200], self.named, hint="Send the whole problem instead.")
        return self.named[id]

    def put(self, row: Mapping[str, Any], where: str) -> tuple[str, Problem]:
        """Remembers a problem that was sent whole; its digest is worked out here, whatever a client says.

        Raises:
            DataError: the row is no problem.
        """
        return self.keep(plain.decode_problem(row, where))

    def keep(self, problem: Problem) -> tuple[str, Problem]:
        """Remembers a problem that a client has sent in another shape: its digest, and the one object that all share.

        Raises:
            InvalidProblem: it holds something that is not plain data.
        """
        text = json.dumps(protocol.encode_problem(problem))
        key = protocol.digest_of(text)
        known = self.get(key)
        if known is not None:
            return key, known
        self._sent[key] = problem, len(text)
        self.used += len(text)
        while self.used > self.room and len(self._sent) > 1:
            self.used -= self._sent.popitem(last=False)[1][1]
        return key, problem
