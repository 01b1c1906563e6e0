"""Rows of APPS as people write them, for the tests of its reader."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

ECHO = {"inputs": ["1\n", ["2", "3"]], "outputs": ["1\n", ["2", "3"]]}


Write = Callable[..., Path]


def call(outputs: list, inputs: list | None = None) -> dict:
    return {"fn_name": "f", "inputs": inputs or [[number] for number in range(len(outputs))], "outputs": outputs}


def starter(text: str) -> dict[str, Any]:
    return {"starter_code": text}


def row(number: int = 0, tests: Any = ECHO, **fields: Any) -> dict[str, Any]:
    return {
        "problem_id": number,
        "question": "Echo.\r\nTwice.\n",
        "solutions": json.dumps(fields.pop("solutions", [])),
        "input_output": tests if isinstance(tests, str) else json.dumps(tests),
        "difficulty": "interview",
        "url": "",
        "starter_code": "",
        **fields,
    }
