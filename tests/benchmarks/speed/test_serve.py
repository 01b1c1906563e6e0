"""The race of the service against the judge asked directly, and its soak: small, and what is measured is what is said."""

from __future__ import annotations

import sys
from collections.abc import Callable

import pytest

pytest.importorskip("fastapi", reason="needs FastAPI: pip install 'rltf[serve]'")

from benchmarks.speed import serve
from rltf_env.core import Outcome, Verdict
from rltf_env.sandbox import scripted

linux = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="looks into /proc")
SMALL = ["--workers", "1", "--batch", "16"]


def test_a_race_names_both_ways_and_their_ratio(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["race", *SMALL, "--programs", "24", "--repeat", "1", "--least", "0.01"]) == 0
    shown = capsys.readouterr().out
    assert "local judge" in shown
    assert "batches of 16" in shown
    assert shown.count("18/24") == 2


def test_a_service_that_is_too_slow_is_a_failure(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [serve.Row("local judge", 100.0, 1.0, 1, 1), serve.Row("rltf serve", 89.0, 1.0, 1, 1)]
    monkeypatch.setattr(serve, "race_section", lambda asked: serve.Race(rows, 0.89))
    assert serve.main(["race"]) == 1
    assert serve.main(["race", "--least", "0.8"]) == 0


def test_pairs_of_rounds_are_compared_and_not_the_luckiest_of_each() -> None:
    seconds = {"near": [1.0, 10.0, 10.0, 10.0], "far": [10.0, 11.0, 11.0, 11.0]}
    order: list[str] = []

    def way(name: str) -> Callable[[], serve.Run]:
        def run() -> serve.Run:
            order.append(name)
            return serve.Run(seconds[name].pop(0), 1.0, 5)

        return run

    race = serve.raced({name: way(name) for name in ("near", "far")}, 10, 4)
    assert race.share == pytest.approx(10 / 11)
    assert [(row.name, row.rate) for row in race.rows] == [("near", 10.0), ("far", 1.0)]
    assert order == ["far", "near", "near", "far"] * 2


@linux
def test_a_soak_survives_the_death_of_a_client(capsys: pytest.CaptureFixture[str]) -> None:
    assert serve.main(["soak", *SMALL, "--soak", "400"]) == 0
    assert "(verdicts, wrong) 200 0; inside at the end 0" in " ".join(capsys.readouterr().out.split())


def test_a_wrong_verdict_is_counted() -> None:
    pairs = serve.jobs(8)
    lenient = scripted.load(default=Outcome.PASSED)
    assert serve.wrongs(lenient, pairs) == 2
    assert isinstance(lenient.run(*pairs[0]), Verdict)
