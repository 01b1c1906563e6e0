"""What a launcher's environment variables say of a process."""

from __future__ import annotations

import pytest

from agents.running.launch import Launch
from rltf_env.errors import UsageError

ALONE = {"MASTER_ADDR": "host", "MASTER_PORT": "29500"}


def of(**variables: str) -> Launch | None:
    return Launch.from_environment({**ALONE, **variables})


def test_a_process_that_nobody_launched_is_none_of_several() -> None:
    assert of() is None
    assert of(RANK="1") is None, "half of the variables are somebody else's"
    assert of(RANK="0", WORLD_SIZE="1") is None


def test_torchrun_says_who_is_on_this_machine() -> None:
    launch = of(RANK="5", WORLD_SIZE="8", LOCAL_RANK="1", LOCAL_WORLD_SIZE="4")
    assert launch == Launch(5, 8, 1, 4, "host", 29500)
    assert not launch.leads
    assert not launch.is_one_machine


def test_without_local_variables_all_are_on_one_machine() -> None:
    launch = of(RANK="1", WORLD_SIZE="2")
    assert launch == Launch(1, 2, 1, 2, "host", 29500)
    assert launch.is_one_machine


@pytest.mark.parametrize(
    "variables",
    [
        {"RANK": "first", "WORLD_SIZE": "2"},
        {"RANK": "2", "WORLD_SIZE": "2"},
        {"RANK": "-1", "WORLD_SIZE": "2"},
        {"RANK": "1", "WORLD_SIZE": "4", "LOCAL_RANK": "2", "LOCAL_WORLD_SIZE": "2"},
    ],
)
def test_what_cannot_be_is_refused(variables: dict[str, str]) -> None:
    with pytest.raises(UsageError, match="Expected"):
        of(**variables)
