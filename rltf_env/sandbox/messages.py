"""What the caller's process and the referee say to each other, as typed values. Standard library only.

A message is a JSON array: its name, then its fields. What an optional field leaves out has its default, so that a field
can be added (a limit of one job, say) without another kind of message.
"""

from __future__ import annotations

import json
from typing import Any, NamedTuple

# ---------------------------------------------------------------------------------------------- to the referee


class Judge(NamedTuple):
    """A program to be judged.

    Args:
        number: of the job.
        source: the program.
        key: of its problem.
        forget: keys of problems that the referee need not remember any more.
        problem: as `pool.wire.encoded_problem` makes it, when the referee does not know it yet.
    """

    number: int
    source: str
    key: int
    forget: list[int]
    problem: dict[str, Any] | None = None


class Cancel(NamedTuple):
    """Jobs that the referee need not judge if it has not begun with them."""

    numbers: list[int]


class CalmGranted(NamedTuple):
    """Until the referee has answered its present job, no other referee runs a program."""


# -------------------------------------------------------------------------------------------- from the referee


class Ready(NamedTuple):
    """The cage is made: the level of its isolation, and the layers that make it."""

    level: str
    layers: list[str]


class NotReady(NamedTuple):
    """The cage cannot be made."""

    error: str


class Judged(NamedTuple):
    """A job's verdict: what `core.Verdict` has, as `plain.encode_verdict` writes it.

    `facts` are those of the text that was judged, as `core.Facts` has them.
    """

    number: int
    results: list[list[Any]]
    lines: list[int] | None
    way: str = ""
    unguarded: int = 0
    last: bool = False  # the program has spoilt the referee's cage: the process ends
    code: list[int] | None = None
    facts: dict[str, Any] | None = None


class Unjudgeable(NamedTuple):
    """No program can be judged on this job's problem."""

    number: int
    reason: str


class Failed(NamedTuple):
    """The referee made a mistake of its own."""

    number: int
    error: str
    trace: str


class CalmWanted(NamedTuple):
    """A case may be late for what runs beside it: the referee waits for `CalmGranted`."""

    number: int


class Lost(NamedTuple):
    """The cage has gone, and the process ends."""

    error: str


Message = Judge | Cancel | CalmGranted | Ready | NotReady | Judged | Unjudgeable | Failed | CalmWanted | Lost
_KINDS: dict[str, Any] = {kind.__name__: kind for kind in Message.__args__}


def encode(message: Message, last: str = "") -> bytes:
    """A message as bytes.

    Args:
        last: JSON text of its last field, where that has been made already.
    """
    fields = message[:-1] if last else message
    text = json.dumps([type(message).__name__, *fields])
    return (f"{text[:-1]}, {last}]" if last else text).encode()


def decode(payload: bytes) -> Message:
    """The message that was encoded. Raises ValueError on anything else."""
    name, *fields = json.loads(payload)
    if name not in _KINDS:
        raise ValueError(f"Expected a message of the judge, got {name!r}.")
    try:
        return _KINDS[name](*fields)
    except TypeError as error:
        raise ValueError(f"Expected the fields of {name}, got {len(fields)} values.") from error
