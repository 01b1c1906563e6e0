"""`rltf init`: the recipe that it writes runs as it stands."""

from __future__ import annotations

from pathlib import Path

import pytest

from agents import config, init
from agents.building import check


@pytest.mark.parametrize("more", [[], ["--dataset", "./mine", "--model", 'a/"b"']])
def test_the_recipe_is_one(tmp_path: Path, capsys: pytest.CaptureFixture[str], more: list[str]) -> None:
    file = tmp_path / "new" / "mine.toml"
    assert init.main([str(file), *more]) == 0
    assert f"rltf train {file}" in capsys.readouterr().out
    recipe = config.read(file)
    check(recipe)
    assert recipe.run.name == "mine"
    assert (recipe.env["dataset"], recipe.policy.get("path")) == (("./mine", 'a/"b"') if more else ("procedural", None))


def test_each_line_that_is_commented_out_may_stand(tmp_path: Path) -> None:
    for model in ("", "a/b"):
        file = tmp_path / f"m{len(model)}.toml"
        lines = init.recipe(file, model=model).splitlines()
        file.write_text(
            "\n".join(
                line.removeprefix("# ") if " = " in line and "path" not in line and "kind" not in line else line
                for line in lines
            )
        )
        check(config.read(file))


def test_no_file_is_written_over(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "mine.toml").write_text("mine")
    assert init.main([str(tmp_path / "mine.toml")]) == 2
    assert init.main([str(tmp_path / "mine")]) == 2
    assert (tmp_path / "mine.toml").read_text() == "mine"
    first, second = capsys.readouterr().err.splitlines()
    assert "Expected a new file" in first
    assert "Name it mine.toml" in second
