"""Texts as points: of unit length, by name, and the nearest of them."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from small_policies import copy_of

from agents import embed
from agents.policies import pair_heads, tiny, tiny_seq2seq
from rltf_env.errors import UsageError

SMALL: dict[str, Any] = {"width": 16, "layers": 1, "heads": 2, "vocab_size": 280, "dataset_options": {"size": 4}}
TEXTS = ["def f(x):\n    return x\n", "Give x.", "def f(x):\n    return x\n"]


@pytest.mark.parametrize("kind", [tiny, tiny_seq2seq])
def test_equal_texts_are_one_point_of_the_sphere(kind: Any) -> None:
    policy = copy_of(kind.load, **SMALL)
    pair_heads.attach(policy, pair_heads.on(policy, 8))
    points = embed.embed(policy, TEXTS, rows=2)
    assert points.shape == (3, 8)
    np.testing.assert_allclose(np.linalg.norm(points, axis=1), 1, atol=1e-5)
    np.testing.assert_allclose(points[0], points[2], atol=1e-5)
    assert not np.allclose(points[0], points[1], atol=1e-3)


def test_of_a_long_text_the_beginning_is_read() -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    pair_heads.attach(policy, pair_heads.on(policy, 8))
    text = "x = 1; " * 50
    first = policy.tokenizer.decode(policy.tokenizer.encode(text)[:6])
    np.testing.assert_allclose(embed.embed(policy, [text], tokens=6), embed.embed(policy, [first]), atol=1e-5)
    assert not np.allclose(embed.embed(policy, [text]), embed.embed(policy, [first]), atol=1e-3)


def test_nearest_by_hand() -> None:
    points = np.array([[1.0, 0.0], [0.0, 1.0], [0.8, 0.6]])
    assert embed.nearest(points, 2).tolist() == [[2, 1], [2, 0], [0, 1]]


def test_command_writes_a_line_for_each_text(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    policy = copy_of(tiny_seq2seq.load, **SMALL)
    pair_heads.attach(policy, pair_heads.on(policy, 8))
    policy.save(tmp_path / "policy")
    (tmp_path / "a.py").write_text(TEXTS[0])
    rows = tmp_path / "b.jsonl"
    rows.write_text("".join(json.dumps({"text": text}) + "\n" for text in TEXTS[1:]))
    names = [str(tmp_path / "a.py"), f"{rows}:1", f"{rows}:2"]
    command = [str(tmp_path / "policy"), str(tmp_path / "a.py"), str(rows)]
    assert embed.main(command) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [line["name"] for line in lines] == names
    np.testing.assert_allclose([line["embedding"] for line in lines], embed.embed(policy, TEXTS), atol=1e-5)
    assert embed.main([*command, "--nearest", "1"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert lines[0] == {"name": names[0], "nearest": [names[2]]}
    assert embed.main([*command, "--nearest", "3"]) == 2


def test_a_policy_without_heads_is_refused() -> None:
    with pytest.raises(UsageError, match="heads"):
        embed.embed(copy_of(tiny.load, **SMALL), TEXTS)
