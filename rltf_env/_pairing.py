"""Has each expected item a partner of its own? An exact answer, also where numbers are only close.

    pair_up(["a", 0.5], [0.5000001, "a"], matches, describe)      True

`matching.py` asks this where order does not count. Trying every item on every other takes time that
grows with the square of their number, and taking the first that fits may take it away from another:
0.0 and 9e-7 are met by 8e-7 and -5e-7, but not if 0.0 takes 8e-7. So the items are first told apart
by what a pair must have in common: their shape, and numbers that lie in one cluster (no gap in it
is wider than the tolerance). In such a group most items have an obvious partner; where not, paths
that rearrange pairs find one or show that there is none (Hopcroft and Karp's problem, here by plain
augmenting paths).

Standard library only; runs where no program runs.
"""

from __future__ import annotations

import math
from bisect import bisect_left, bisect_right
from collections import Counter, defaultdict, deque
from collections.abc import Callable, Hashable, Iterator, Sequence
from typing import Any, NamedTuple

SLACK = 4e-6  # what two numbers that match differ by at most, relative or absolute, with room to spare


class Leaf(NamedTuple):
    """A number inside an item.

    Args:
        near: its value as a float, infinite for what no float can hold.
        exact: equal for numbers that are equal.
        tolerant: what is expected here may be met by a number close by. Of what is got it means nothing.
    """

    near: float
    exact: Any
    tolerant: bool


Matches = Callable[[Any, Any], bool]
Describe = Callable[[Any], tuple[Hashable, list[Leaf]]]  # an item's shape, and the numbers that it leaves open
Group = tuple[list[Any], list[Any]]  # expected items and got ones, which match no item of another group


def pair_up(expected: Sequence[Any], got: Sequence[Any], matches: Matches, describe: Describe) -> bool:
    """True if each of `expected` can be given one of `got` that matches it, none of them twice.

    Args:
        expected, got: as many of the one as of the other.
        matches: whether an expected item is met by another.
        describe: items that match must have the same shape, as many numbers, and close ones.
    """
    if _same_twice(expected, got, matches):
        return True
    groups = _grouped([(item, *describe(item)) for item in expected], [(item, *describe(item)) for item in got])
    return groups is not None and all(_perfect(group, matches) for group in groups)


def _same_twice(expected: Sequence[Any], got: Sequence[Any], matches: Matches) -> bool:
    """True if each item has its equal: the usual case, and a quick one."""
    names, others = list(map(_name, expected)), list(map(_name, got))
    if Counter(names) != Counter(others):
        return False
    equal = dict(zip(others, got, strict=True))
    return all(matches(item, equal[name]) for name, item in dict(zip(names, expected, strict=True)).items())


def _name(item: Any) -> Hashable:
    """Equal for items that are the same in every respect."""
    if type(item) is str:
        return item
    try:
        return repr(item)
    except ValueError:  # a number of more digits than the interpreter prints: it is like itself alone
        return id(item)


# ------------------------------------------------------------------------------------------------ groups

Described = tuple[Any, Hashable, list[Leaf]]


def _grouped(expected: list[Described], got: list[Described]) -> list[Group] | None:
    """The items in groups that cannot be told further apart; None if a group has more of one kind."""
    todo = list(_apart((expected, got), lambda item: item[1], lambda item: item[1]))
    done: list[Group] = []
    while todo:
        group = todo.pop()
        if len(group[0]) != len(group[1]):
            return None
        parts = list(_apart(group, *_clusters(group))) if len(group[0]) > 1 else [group]
        if len(parts) == 1:
            done.append(group)
        else:
            todo += parts
    return done


Key = Callable[[Described], Hashable]


def _apart(group: Group, expected: Key, got: Key) -> Iterator[Group]:
    parts: defaultdict[Hashable, Group] = defaultdict(lambda: ([], []))
    for item in group[0]:
        parts[expected(item)][0].append(item)
    for item in group[1]:
        parts[got(item)][1].append(item)
    return iter(parts.values())


def _clusters(group: Group) -> tuple[Key, Key]:
    """What tells the items of one shape apart by their numbers: at each place the cluster, or the number itself."""
    places = [_cluster(group, place) for place in range(len(group[0][0][2]))]

    def key(item: Described) -> Hashable:
        return tuple(
            leaf.exact if clusters is None else clusters.get(leaf.near, "nan")
            for leaf, clusters in zip(item[2], places, strict=True)
        )

    return key, key


def _cluster(group: Group, place: int) -> dict[float, int] | None:
    """The number of the cluster that each value at this place lies in; None where only equal numbers match."""
    if not any(item[2][place].tolerant for item in group[0]):
        return None
    values = sorted({near for side in group for item in side if (near := item[2][place].near) == near})
    clusters, number = {}, 0
    for before, value in zip([*values[:1], *values], values, strict=False):
        number += not math.isclose(before, value, rel_tol=SLACK, abs_tol=SLACK)
        clusters[value] = number
    return clusters


# ----------------------------------------------------------------------------------------- one group


def _perfect(group: Group, matches: Matches) -> bool:
    """True if the items of a group can be paired."""
    if len(group[0]) == 1:
        return matches(group[0][0][0], group[1][0][0])
    place = _widest(group[1])
    expected, got = (sorted(side, key=lambda item: _from(place, item[2])) for side in group)
    if all(matches(right[0], left[0]) for right, left in zip(expected, got, strict=True)):
        return True
    demand, stock = _counted(expected), _counted(got)
    partners = []
    for item, _ in demand:
        near = _candidates(item, stock, place)
        partners.append([index for index in near if matches(item[0], stock[index][0][0])])
        if not partners[-1]:
            return False
    return _flows([count for _, count in demand], [count for _, count in stock], partners)


def _widest(items: list[Described]) -> int:
    """The place at which the numbers of the items differ most; 0 where there are none."""
    places = range(len(items[0][2]))
    return max(places, key=lambda place: len({item[2][place].near for item in items}), default=0)


def _from(place: int, leaves: list[Leaf]) -> list[float]:
    """All numbers, that of this place first."""
    return [leaf.near for leaf in (*leaves[place:], *leaves[:place])]


def _counted(items: list[Described]) -> list[tuple[Described, int]]:
    """The different items, in their order, and how often each is there."""
    names = [_name(item[0]) for item in items]
    counts = Counter(names)
    return [(item, counts[name]) for name, item in dict(zip(names, items, strict=True)).items()]


def _candidates(item: Described, stock: list[tuple[Described, int]], place: int) -> range:
    """Which of the stock, which is sorted by the numbers at this place, may match an item."""
    if not item[2] or not math.isfinite(near := item[2][place].near):
        return range(len(stock))
    room = SLACK * max(1.0, abs(near))

    def at_place(other: tuple[Described, int]) -> float:
        return other[0][2][place].near

    return range(bisect_left(stock, near - room, key=at_place), bisect_right(stock, near + room, key=at_place))


def _flows(demand: list[int], stock: list[int], partners: list[list[int]]) -> bool:
    """True if each of the `demand` counts can be met from the `stock` of its partners, which is used up."""
    shares: list[Counter[int]] = [Counter() for _ in stock]  # of each in stock: who has how many
    for index, count in enumerate(demand):
        while count:
            path = _path(index, stock, partners, shares)
            if path is None:
                return False
            count -= _pushed(path, count, stock, shares)
    return True


def _path(start: int, stock: list[int], partners: list[list[int]], shares: list[Counter[int]]) -> list[int] | None:
    """From one that wants to one in stock, by way of those who could take another: [wants, stock, wants, ...]."""
    came: dict[int, tuple[int, ...]] = {start: ()}  # of each who wants: what it would give up, and who would take that
    seen: set[int] = set()
    queue = deque([start])
    while queue:
        who = queue.popleft()
        for one in partners[who]:
            if one in seen:
                continue
            seen.add(one)
            if stock[one]:
                return [*_back(who, came), one]
            for holder, count in shares[one].items():
                if count and holder not in came:
                    came[holder] = (one, who)
                    queue.append(holder)
    return None


def _back(who: int, came: dict[int, tuple[int, ...]]) -> list[int]:
    path = [who]
    while came[path[-1]]:
        path += came[path[-1]]
    return path[::-1]


def _pushed(path: list[int], count: int, stock: list[int], shares: list[Counter[int]]) -> int:
    """Hands on as many as the path allows; how many."""
    gives = list(zip(path[1:-1:2], path[2::2], strict=True))  # what is given up, by whom
    most = min([count, stock[path[-1]], *(shares[one][holder] for one, holder in gives)])
    stock[path[-1]] -= most
    for one, holder in gives:
        shares[one][holder] -= most
    for who, one in zip(path[::2], path[1::2], strict=True):
        shares[one][who] += most
    return most
