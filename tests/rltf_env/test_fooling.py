"""The public battery of programs that attack tests which run together with them: none is paid for what it does not solve."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from rltf_env import sandbox
from rltf_env.errors import InvalidProblem
from rltf_env.sandbox.battery import fooling

LONG = pytest.mark.timeout(1800)
LIMITS = {"workers": 2, "case_seconds": 1.0, "wall_seconds": 5.0, "memory_mb": 512, "cache": 0}
RUNS = 200
RARE = {"pid": 0.12}  # of a judge's runs: one in three by its number, three times, which makes 1/27, and luck
SELDOM = 0.08  # a coin is paid 2 times in 100 at best, and luck


def complaints(backend: str, attacks: Iterable[fooling.Attack]) -> list[str]:
    with sandbox.load(backend, **LIMITS) as judge:
        verdicts = [(attack, judge.submit(attack.source, attack.problem)) for attack in attacks]
        return [complaint for attack, verdict in verdicts if (complaint := attack.complaint(verdict.result()))]


def test_the_battery_of_fooling_programs_is_large_and_says_why() -> None:
    names = {attack.name.partition("/")[0] for attack in fooling.attacks()}
    assert len(names) >= 60
    assert all(attack.why and attack.source.strip() for attack in fooling.attacks())


def one_of_plain_and_unit() -> tuple[fooling.Attack, ...]:
    """The attacks, without the second one of programs that attack plain assertions and unittest: these take turns."""
    attacks = fooling.attacks(tuple(name for name in fooling.PROBLEMS if name != "property"))
    names = {attack.name for attack in attacks}
    programs = sorted(name.removesuffix("/plain") for name in names if name.endswith("/plain"))
    both = [program for program in programs if f"{program}/unit" in names]
    left_out = {f"{program}/{('plain', 'unit')[number % 2]}" for number, program in enumerate(both)}
    return tuple(attack for attack in attacks if attack.name not in left_out)


@LONG
@pytest.mark.parametrize("target", ["plain", "unit", "pytest", "alone", "told"])
def test_no_fooling_program_is_paid(target: str) -> None:
    attacks = [attack for attack in one_of_plain_and_unit() if attack.name.endswith(target)]
    assert complaints("forkserver", attacks) == []


def test_every_fooling_program_but_those_that_need_properties_is_judged() -> None:
    chosen, every = ({a.name.partition("/")[0] for a in of} for of in (one_of_plain_and_unit(), fooling.attacks()))
    assert len(every - chosen) == 2
    assert {attack.problem.id.partition("/")[2] for attack in one_of_plain_and_unit()} == {*fooling.PROBLEMS} - {
        "property"
    }


@LONG
@pytest.mark.slow
@pytest.mark.parametrize("backend", ["forkserver", "subprocess"])
def test_no_fooling_program_is_paid_whatever_it_attacks(backend: str) -> None:
    assert complaints(backend, fooling.attacks()) == []


@pytest.mark.parametrize("coin", sorted(fooling.COINS))
def test_a_program_that_cheats_now_and_then_is_seldom_paid(coin: str) -> None:
    problem = fooling.PROBLEMS["plain"]
    with sandbox.load("forkserver", **LIMITS) as judge:
        verdicts = [judge.submit(fooling.COINS[coin], problem) for _ in range(RUNS)]
        paid = sum(verdict.result().failure is None for verdict in verdicts)
    assert paid / RUNS <= RARE.get(coin, SELDOM)


@pytest.mark.parametrize("times", [3, pytest.param(12, marks=pytest.mark.slow)])
def test_the_reference_of_the_attacked_tests_is_not_taken_for_one_that_fools_them(times: int) -> None:
    with sandbox.load("forkserver", **LIMITS) as judge:
        verdicts = [judge.submit(fooling.REFERENCE, p) for p in fooling.PROBLEMS.values() for _ in range(times)]
        assert all(verdict.result().failure is None for verdict in verdicts)


def test_a_judge_that_requires_apart_refuses_tests_that_have_to_run_together() -> None:
    with sandbox.load("forkserver", **LIMITS, require_apart=True) as judge:
        for problem in fooling.PROBLEMS.values():
            with pytest.raises(InvalidProblem, match="require_apart"):
                judge.run(fooling.REFERENCE, problem)
