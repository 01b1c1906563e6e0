"""Frames as pictures: of one size whatever they show, in the colours of the text, filmed by Gymnasium's wrappers."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gymnasium
import numpy as np
import pytest

from rltf_env.view import pixels

pytest.importorskip("PIL")


def near(picture: Any, colour: tuple[int, int, int]) -> int:
    """How many pixels have this colour."""
    return int((np.abs(picture.astype(int) - colour).sum(2) < 12).sum())


def test_a_frame_of_any_length_has_one_size() -> None:
    shapes = {
        pixels.picture(text).shape for text in ("", "x", "long " * 200, "line\n" * 200, "\t\x1b[31m", "\u2588\u4e2d")
    }
    assert len(shapes) == 1


def test_codes_are_colours() -> None:
    plain, red = pixels.picture("word"), pixels.picture("\x1b[31mword\x1b[0m")
    assert near(plain, pixels.COLOURS["31"]) == 0
    assert near(red, pixels.COLOURS["31"]) == near(plain, pixels.INK) > 50
    assert near(pixels.picture("\x1b[48;5;28mx\x1b[0m"), (0, 135, 0)) > 100


def test_bars_are_as_high_as_they_say() -> None:
    low, high = (near(pixels.picture(f"\x1b[32m{bar}"), pixels.COLOURS["32"]) for bar in "▁█")
    assert 5 * low < high


def test_of_a_long_frame_the_head_and_the_end_are_seen() -> None:
    lines = ["\x1b[31mhead\x1b[0m", *["x"] * 100, "\x1b[32mend"]
    picture = pixels.picture("\n".join(lines))
    assert near(picture, pixels.COLOURS["31"])
    assert near(picture, pixels.COLOURS["32"])


def test_gymnasium_collects_frames_and_stable_baselines_takes_the_id() -> None:
    common = pytest.importorskip("stable_baselines3.common.env_util")
    env = common.make_vec_env("RLTF-Procedural-v0", n_envs=1)
    env.reset()
    assert env.render().shape == pixels.picture("").shape
    env.close()


@pytest.mark.filterwarnings("ignore")  # the library of films has warnings of its own
def test_record_video_films_an_episode(tmp_path: Path) -> None:
    pytest.importorskip("moviepy")
    env = gymnasium.make("RLTF-Procedural-v0", render_mode="rgb_array", max_program_tokens=8)
    with gymnasium.wrappers.RecordVideo(env, str(tmp_path), episode_trigger=lambda episode: True) as filmed:
        filmed.reset(seed=0)
        for token in b"x = 1\nyz":
            if any(filmed.step(token)[2:4]):
                break
    (film,) = tmp_path.glob("*.mp4")
    assert film.stat().st_size > 1000
