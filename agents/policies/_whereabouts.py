"""Where weights are: a misspelt folder is refused in a moment, not after a minute of retries at the hub."""

from __future__ import annotations

import difflib
from pathlib import Path

from rltf_env.datasets import hub
from rltf_env.errors import MissingData

RECIPES = Path(__file__).parents[1] / "recipes"


def out_of_reach(where: str) -> str:
    """Why the hub cannot be asked for `where`; "" if it can, or if `where` is a folder here.

    Raises:
        MissingData: `where` is the path of a folder that is not there.
    """
    if Path(where).exists():
        return ""
    if is_path(where):
        raise MissingData(f"Expected a folder with a policy, got {where!r}: there is no such folder.{_remedy(where)}")
    return hub.unreachable()


def _remedy(where: str) -> str:
    """In a sentence: the shipped recipe whose run makes the policy `runs/NAME/policy`, or the folder that may have been meant."""
    *above, name, last = ("", "", *Path(where).parts)
    recipe = RECIPES / f"{name}.toml"
    if last == "policy" and above[-1:] == ["runs"] and recipe.is_file():
        return f" Make it first: rltf train agents/recipes/{recipe.name}"
    return nearest(where)


def is_path(where: str) -> bool:
    """True if `where` can be no hub id, which is `NAME` or `OWNER/NAME`."""
    return where.startswith((".", "/", "~")) or "\\" in where or where.count("/") > 1 or where.endswith("/")


def nearest(where: str) -> str:
    """The folder that may have been meant, in a sentence: one beside it, or one of `runs`."""
    path = Path(where)
    found: dict[str, str] = {}
    for folder in (Path("runs"), path.parent):
        if folder.is_dir():
            found |= {each.name: str(each) for each in folder.iterdir() if each.is_dir()}
    near = difflib.get_close_matches(path.name, found, n=1)
    return f" Did you mean {found[near[0]]!r}?" if near else ""
