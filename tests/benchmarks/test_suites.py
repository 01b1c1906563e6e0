"""Suites are frozen: protocol and data by digest; what departs from them says so."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from benchmarks import suites
from rltf_env.errors import DataError, UnknownName, UsageError


@pytest.mark.parametrize("name", ["procedural-seen", "procedural-unseen", "grown-unseen"])
def test_embedded_suites_have_the_data_that_they_were_frozen_with(name: str) -> None:
    problems, digest, status = suites.problems(suites.get(name))
    assert (len(problems), digest, status) == (500, suites.get(name).digest, "frozen")


@pytest.mark.parametrize(("name", "count"), [("humaneval", 164), ("mbpp", 500)])
def test_real_suites_have_the_data_that_they_were_frozen_with(name: str, count: int, data: Path) -> None:
    problems, _, status = suites.problems(suites.get(name), data if name == "mbpp" else None)
    assert (len(problems), status) == (count, "frozen")


def test_no_composition_is_in_both_procedural_suites() -> None:
    seen, unseen = (
        {problem.meta["signature"] for problem in suites.problems(suites.get(f"procedural-{name}"))[0]}
        for name in ("seen", "unseen")
    )
    assert not seen & unseen


def test_other_data_are_an_error_that_names_both_digests() -> None:
    suite = replace(suites.get("procedural-unseen"), options={"size": 5, "depths": [2]})
    with pytest.raises(DataError, match=rf"digest {suite.digest}, got [0-9a-f]{{64}} \(5 problems\)"):
        suites.problems(suite)
    assert suites.problems(suite, unfrozen=True)[2] == "unfrozen"


def test_suite_without_a_known_digest_is_never_frozen() -> None:
    suite = replace(suites.get("procedural-unseen"), digest="")
    assert suites.problems(suite)[2] == "unfrozen"


def test_departures_are_told_in_words() -> None:
    assert suites.get("humaneval").departures() == []
    changed = suites.get("apps-interview").changed(temperature=1.0, samples=3, top_p=None)
    assert changed.departures() == [
        "samples 3 instead of 20",
        "ks (1,) instead of (1, 5)",
        "temperature 1.0 instead of 0.6",
    ]


def test_papers_protocol_is_that_of_section_4_1() -> None:
    for name in ("apps-introductory", "apps-interview", "apps-competition"):
        assert (suites.get(name).temperature, suites.get(name).top_p) == (0.6, 0.95)


def test_protocol_is_plain_data() -> None:
    for suite in suites.SUITES.values():
        assert json.loads(json.dumps(suite.protocol()))["name"] == suite.name


@pytest.mark.parametrize("change", [{"samples": 0}, {"temperature": -1.0}, {"top_p": 0.0}, {"max_tokens": 0}])
def test_impossible_protocol_is_refused(change: dict) -> None:
    with pytest.raises(UsageError, match="Expected"):
        suites.get("humaneval").changed(**change)


def test_unknown_suite_names_the_nearest() -> None:
    with pytest.raises(UnknownName, match="Did you mean 'humaneval'"):
        suites.get("humanevel")
