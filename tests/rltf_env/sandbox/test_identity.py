"""Which scripts can tell a copy from the object that it was made of."""

from __future__ import annotations

import pytest

from rltf_env.sandbox.referee.identity import tells_copies
from rltf_env.sandbox.referee.suite import read

TELLS = (
    "x = [1]\nassert f(x) is x",
    "assert f() is not f()",
    "x = [1]\nassert id(f(x)) != id(x)",
    "x = [1]\ny = f(x)\ny.append(2)\nassert x == [1]",
    "x = [1]\nf(x)\nx[0] = 2\nassert g() == 1",
    "x = f(2)\nx += [1]\nassert f(2) == []",
    "a = f(1)\nb = f(2)\nassert a == [1]",
    "b = Bag([1])\nx = b.items()\nb.add(2)\nassert x == [1]",
    "assert [f(i) for i in range(2)] == [[0], [1]]",
    "r = []\nfor i in range(2):\n    r.append(f(i))\nassert r == [[0], [1]]",
    "def check(candidate):\n    x = [1]\n    y = candidate(x)\n    y.sort()\n    assert x == [1]\ncheck(f)",
    "x = {}\ny = f(x)\nif True:\n    del y['a']\nassert 'a' in x",
)
CANNOT = (
    "assert f([3, 1]) == [1, 3]",
    "assert f(1) is None and f(2) is True",
    "assert type(f(1)) is int",
    "x = [3, 1]\nassert f(x) == [1, 3]\nassert x == [3, 1]",
    "x = []\nfor i in range(3):\n    x.append(i)\nassert f(x) == 3",
    "assert [f(i) for i in range(3)] == [0, 1, 4]",
    "a = f(1)\nb = f(2)\nassert a == 1 and b == 4",
    "low, high = 0, 9\nwhile low < high:\n    m = low + 1\n    low, high = (m, high) if f(m) else (low, m)\nassert low == 3",
    "s = Stack()\ns.append(1)\ns.pop()\nassert s.size() == 0",
    "n = Node(1)\nn.next = Node(2)\nn.next.next = Node(3)\nassert length(n) == 3",
    "total = 0\nfor i in range(3):\n    total += f(i)\nassert total == 3",
    "y = sorted(f([2, 1]))\ny.append(3)\nassert y == [1, 2, 3]",
)


def tells(script: str) -> bool:
    suite = read([script], "f", set(), ())
    return tells_copies(suite, {"f", *suite.bare})


@pytest.mark.parametrize("script", TELLS)
def test_a_script_that_can_tell_copies_does(script: str) -> None:
    assert tells(script)


@pytest.mark.parametrize("script", CANNOT)
def test_a_script_that_cannot_tell_copies_does_not(script: str) -> None:
    assert not tells(script)
