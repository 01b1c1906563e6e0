"""Packed tests are read without unpickling: any pickle that is more than one text is refused, and none is run."""

from __future__ import annotations

import base64
import os
import pickle
import zlib
from pathlib import Path
from typing import Any

import pytest

from rltf_env.datasets._packed import unpacked
from rltf_env.errors import DataError

TEXTS = ["[]", '[{"input": "1", "output": "é🎉"}]', "x" * 300, "x" * 70_000, ""]


def packed(value: Any, protocol: int = 4) -> str:
    return base64.b64encode(zlib.compress(pickle.dumps(value, protocol))).decode()


def raw(content: bytes) -> str:
    return base64.b64encode(zlib.compress(content)).decode()


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("text", TEXTS, ids=len)
def test_a_pickled_text_is_that_text(text: str, protocol: int) -> None:
    assert unpacked(packed(text, protocol), "row 1") == text


class Hostile:
    """Unpickled, it leaves a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.path),)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_a_hostile_pickle_is_refused_and_not_run(protocol: int, tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"row 1: expected a pickle of one text, got the opcode \w+\. It was not run"):
        unpacked(packed(Hostile(tmp_path / "run"), protocol), "row 1")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("value", [["a", "b"], ("a",), {"a": 1}, b"a", 1, None, 1.5, True], ids=repr)
def test_what_is_no_text_is_refused(value: Any) -> None:
    with pytest.raises(DataError, match="expected a pickle of one text"):
        unpacked(packed(value), "row 1")


def test_two_texts_or_something_behind_the_end_are_refused() -> None:
    one = pickle.dumps("a", 4)
    with pytest.raises(DataError, match="nothing behind it"):
        unpacked(raw(one + pickle.dumps(Hostile(Path("x")), 4)), "row 1")
    with pytest.raises(DataError, match="got 2 texts"):
        unpacked(raw(b"\x80\x04\x8c\x01a\x8c\x01b."), "row 1")
    with pytest.raises(DataError, match="got 0 texts"):
        unpacked(raw(b"\x80\x04."), "row 1")


def test_size_is_bounded_before_it_is_reached() -> None:
    bomb = raw(b"\0" * 10_000_000)
    assert len(bomb) < 20_000
    with pytest.raises(DataError, match="expected packed tests of at most 1000 bytes, got more"):
        unpacked(bomb, "row 1", largest=1000)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("no base64!", "expected JSON or packed tests"),
        (base64.b64encode(b"no zlib").decode(), "expected packed tests \\(zlib\\)"),
        (
            base64.b64encode(zlib.compress(pickle.dumps(str(list(range(99)))))[:-9]).decode(),
            "expected packed tests to their end",
        ),
        (raw(b"no pickle"), "expected a pickle of one text"),
        (raw(b""), "expected a pickle of one text"),
        (raw(pickle.dumps("abc", 4)[:-3]), "expected a pickle of one text"),
    ],
)
def test_what_is_not_packed_so_says_where_it_stands(text: str, message: str) -> None:
    with pytest.raises(DataError, match=f"row 7: {message}"):
        unpacked(text, "row 7")
