"""A suite is frozen by whoever has its data, and handed to other harnesses with its protocol."""

from __future__ import annotations

import json
import shlex
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import freeze, suites
from benchmarks.suites import Suite
from rltf_env.errors import DataError, UnknownName, UsageError


def test_a_suite_is_frozen_by_a_file_that_has_its_protocol_and_digest(suite: Suite, tmp_path: Path) -> None:
    digest, open_one = suite.digest, replace(suite, digest="")
    path, content, _ = freeze.freeze(open_one, tmp_path)
    assert (content["digest"], content["problems"]) == (digest, 6)
    frozen = suites.with_frozen([open_one], tmp_path)["small"]
    assert frozen == suites.from_file(path)
    assert (frozen.digest, frozen.protocol()) == (digest, suite.protocol())
    assert suites.problems(frozen)[2] == "frozen"


def test_the_command_freezes_a_window_of_ones_own(
    suite: Suite, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["smaller", "--like", "small", "--option", "size=3", "--out", str(tmp_path)]
    assert freeze.main(words) == 0
    assert "smaller-v1: 3 problems, digest" in capsys.readouterr().out
    made = suites.with_frozen([suite], tmp_path)["smaller"]
    assert (made.options["size"], made.samples, made.about) == (3, suite.samples, "As small-v1, with size=3.")


def test_other_data_do_not_freeze_a_suite_again(suite: Suite, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="digest"):
        freeze.freeze(replace(suite, digest="0" * 64), tmp_path)
    assert not list(tmp_path.iterdir())


def test_a_file_of_another_protocol_is_refused(suite: Suite, tmp_path: Path) -> None:
    freeze.freeze(replace(suite, samples=1, ks=(1,), digest=""), tmp_path)
    with pytest.raises(DataError, match="protocol of suite small-v1"):
        suites.with_frozen([suite], tmp_path)
    (tmp_path / "small.json").write_text("{}")
    with pytest.raises(DataError, match="frozen suite"):
        suites.with_frozen([suite], tmp_path)


def test_names_and_options_that_do_not_fit_are_refused(suite: Suite) -> None:
    with pytest.raises(UnknownName):
        freeze.chosen("smal", None, {}, None)
    with pytest.raises(UsageError, match="new name"):
        freeze.chosen("small", "small", {"size": 3}, None)
    with pytest.raises(UsageError, match="--like"):
        freeze.chosen("small", None, {"size": 3}, None)


def test_suites_of_todays_sets_wait_for_their_data() -> None:
    for name in ("humaneval-plus", "mbpp-plus", "livecodebench-2024-08-2025-01", "livecodebench-2025-02-2025-05"):
        assert suites.get(name).name == name
    windows = [suites.get(f"livecodebench-{name}").options for name in ("2024-08-2025-01", "2025-02-2025-05")]
    assert windows[0]["end_date"] < windows[1]["start_date"]


def test_lm_eval_gets_the_protocol_and_the_digest(suite: Suite, tmp_path: Path) -> None:
    warm = replace(suite, temperature=0.6, top_p=0.95, stop=("\ndef ",))
    lines = dict(line.split(": ", 1) for line in freeze.as_lm_eval(warm).splitlines())
    assert lines["task"] == '"rltf_small"'
    assert lines["repeats"] == "2"
    assert warm.digest in lines["dataset_kwargs"]
    assert lines["generation_kwargs"] == (
        '{until: ["\\ndef "], max_gen_toks: 512, do_sample: true, temperature: 0.6, top_p: 0.95}'
    )
    assert freeze.main(["small", "--lm-eval", str(tmp_path / "tasks" / "small.yaml")]) == 0
    assert (tmp_path / "tasks" / "small.yaml").read_text() == freeze.as_lm_eval(suite)


def test_inspect_gets_a_command(suite: Suite, capsys: pytest.CaptureFixture[str]) -> None:
    assert freeze.main(["small", "--inspect"]) == 0
    words = shlex.split(capsys.readouterr().out)
    assert words[:3] == ["inspect", "eval", "rltf/unit_tests"]
    assert f"digest={suite.digest}" in words
    options = next(word for word in words if word.startswith("dataset_options="))
    assert json.loads(options.partition("=")[2]) == suite.options
    assert words[words.index("--max-tokens") + 1] == "512"
