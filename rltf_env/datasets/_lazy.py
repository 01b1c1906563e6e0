"""Cases that are read at first use: single rows of a data set reach tens of megabytes, and all of them do not fit in memory."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Iterator, Sequence
from functools import lru_cache
from typing import Any, SupportsIndex, overload

from rltf_env.core import Case


class Lazy(Sequence[Case]):
    """Cases of which it is known that there are some, and nothing else before they are read.

    Raises:
        DataError: at first use, if what is read turns out to be malformed.
    """

    @abstractmethod
    def _read(self) -> Sequence[Case]:
        """All the cases; called at each use, so it should remember those used last."""

    def __bool__(self) -> bool:
        return True  # known without reading: a problem without tests never gets this far

    def __len__(self) -> int:
        return len(self._read())

    @overload
    def __getitem__(self, index: SupportsIndex) -> Case: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[Case]: ...
    def __getitem__(self, index: Any) -> Any:
        return self._read()[index]

    def __iter__(self) -> Iterator[Case]:
        return iter(self._read())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Sequence) and tuple(self) == tuple(other)

    __hash__ = None  # type: ignore[assignment]


class Later(Lazy):
    """Cases that a function gives. They pickle as that function, a `partial` of one of a module.

    Args:
        read: gives the cases; equal functions are asked once, while they are among the few used last.
        kind: the class of the cases, known without reading them.
    """

    def __init__(self, read: Callable[[], Sequence[Case]], kind: type[Case]) -> None:
        self._function, self.kind = read, kind

    def _read(self) -> Sequence[Case]:
        return _remembered(self._function)


@lru_cache(maxsize=8)  # the twenty programs of one problem are judged one after the other
def _remembered(read: Callable[[], Sequence[Case]]) -> Sequence[Case]:
    return read()
