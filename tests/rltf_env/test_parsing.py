"""Texts are parsed without advice on their style, and without a trace in the process."""

from __future__ import annotations

import ast
import threading
import warnings

import pytest

from rltf_env import parsing

ADVISED = "'\\d'"  # an escape sequence that Python has not


def test_a_text_is_parsed_without_warnings() -> None:
    assert isinstance(parsing.tree(ADVISED), ast.Module)
    assert parsing.literal(f" [{ADVISED}]\n") == ["\\d"]
    with pytest.raises(SyntaxError):
        parsing.tree("(")


def test_threads_that_overlap_leave_the_settings_of_warnings_as_they_are(monkeypatch: pytest.MonkeyPatch) -> None:
    parse, second_is_in = ast.parse, threading.Event()

    def overlapping(text: str) -> ast.Module:
        if text == "first":
            second_is_in.wait(0.2)  # in vain, where one parses at a time
        else:
            second_is_in.set()
            first.join()
        return parse(text)

    monkeypatch.setattr(parsing.ast, "parse", overlapping)
    before = list(warnings.filters)
    first, second = (threading.Thread(target=parsing.tree, args=(text,)) for text in ("first", "second"))
    first.start()
    second.start()
    second.join()
    assert list(warnings.filters) == before
