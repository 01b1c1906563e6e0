"""The public battery of programs that attack tests which run together with them: none is paid for what it does not solve."""

from __future__ import annotations

import pytest

from rltf_env import sandbox
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.battery import fooling

LONG = pytest.mark.timeout(1800)
LIMITS = {"workers": 2, "case_seconds": 1.0, "wall_seconds": 5.0, "memory_mb": 512, "cache": 0}
RUNS = 200
RARE = {"pid": 0.12}  # of a judge's runs: one in three by its number, three times, which makes 1/27, and luck
SELDOM = 0.08  # a coin is paid 2 times in 100 at best, and luck


def complaints(backend: str, targets: tuple[str, ...]) -> list[str]:
    with sandbox.load(backend, **LIMITS) as judge:
        verdicts = [(attack, judge.submit(attack.source, attack.problem)) for attack in fooling.attacks(targets)]
        return [complaint for attack, verdict in verdicts if (complaint := attack.complaint(verdict.result()))]


def test_the_battery_of_fooling_programs_is_large_and_says_why() -> None:
    names = {attack.name.partition("/")[0] for attack in fooling.attacks()}
    assert len(names) >= 60
    assert all(attack.why and attack.source.strip() for attack in fooling.attacks())


@LONG
@pytest.mark.parametrize(
    "target", ["plain", "unit", "pytest", "alone", pytest.param("property", marks=pytest.mark.slow)]
)
def test_no_fooling_program_is_paid_by_forkserver(target: str) -> None:
    targets = tuple(name for name in fooling.PROBLEMS if target == name or name.endswith(f"_{target}"))
    assert complaints("forkserver", targets) == []


@LONG
@pytest.mark.slow
def test_no_fooling_program_is_paid_by_subprocess() -> None:
    assert complaints("subprocess", tuple(fooling.PROBLEMS)) == []


@pytest.mark.parametrize("coin", sorted(fooling.COINS))
def test_a_program_that_cheats_now_and_then_is_seldom_paid(coin: str) -> None:
    problem = fooling.PROBLEMS["plain"]
    with sandbox.load("forkserver", **LIMITS) as judge:
        verdicts = [judge.submit(fooling.COINS[coin], problem) for _ in range(RUNS)]
        paid = sum(verdict.result().failure is None for verdict in verdicts)
    assert paid / RUNS <= RARE.get(coin, SELDOM)


def test_the_reference_of_the_attacked_tests_is_not_taken_for_one_that_fools_them() -> None:
    with sandbox.load("forkserver", **LIMITS) as judge:
        verdicts = [judge.submit(fooling.REFERENCE, p) for p in fooling.PROBLEMS.values() for _ in range(5)]
        assert all(verdict.result().failure is None for verdict in verdicts)


def test_a_judge_that_requires_apart_refuses_tests_that_have_to_run_together() -> None:
    with sandbox.load("forkserver", **LIMITS, require_apart=True) as judge:
        for problem in fooling.PROBLEMS.values():
            with pytest.raises(InvalidProblem, match="require_apart"):
                judge.run(fooling.REFERENCE, problem)
