"""Options of components on a command line: one way to write them for every command."""

from __future__ import annotations

from typing import Any

import pytest

from rltf_env import plugins
from rltf_env.errors import UsageError


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("1", 1),
        ("[1, 2]", [1, 2]),
        ('{"tests": "asserts"}', {"tests": "asserts"}),
        ('{tests = "asserts"}', {"tests": "asserts"}),
        ("'quoted'", "quoted"),
        ('"1"', "1"),
        ("word", "word"),
        ("", ""),
        ("x=y", "x=y"),
        ("null", None),
        ("true", True),
        ("2024-08-01", "2024-08-01"),
    ],
)
def test_a_value_is_json_or_toml_or_a_bare_word(text: str, value: Any) -> None:
    assert plugins.options(["key=other word", f"key={text}"]) == {"key": value}


@pytest.mark.parametrize("text", ["word", "=1"])
def test_an_option_without_a_name_or_a_value_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match="KEY=VALUE"):
        plugins.options([text])
