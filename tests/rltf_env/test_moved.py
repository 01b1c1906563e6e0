"""Old import paths: they lead to the new module itself, say so, and hide nothing that is there."""

from __future__ import annotations

import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from rltf_env._moved import Redirect, redirect

MODULE = "made = object()\nif __name__ == '__main__':\n    print('runs', __name__)\n"


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A package `house` whose module `room` is now `rooms/blue.py`, and whose folder `cellar` is now `store`."""
    for folder in ("house", "house/rooms", "house/store"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "__init__.py").write_text("")
    (tmp_path / "house/rooms/blue.py").write_text(MODULE)
    (tmp_path / "house/store/wine.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    before = list(sys.meta_path)
    redirect("house", {"room": "rooms.blue", "cellar": "store"})
    yield "house"
    sys.meta_path[:] = before
    for name in [name for name in sys.modules if name.split(".")[0] == "house"]:
        del sys.modules[name]


def test_an_old_path_is_the_new_module_and_warns_with_the_new_place(package: str) -> None:
    with pytest.warns(DeprecationWarning, match=r"house\.room has moved to house\.rooms\.blue") as caught:
        old = importlib.import_module(f"{package}.room")
    assert old is importlib.import_module("house.rooms.blue")
    assert old.__name__ == old.__spec__.name == "house.rooms.blue"  # the new module is left as it was
    assert len(caught) == 1


def test_the_warning_points_at_the_line_that_has_the_old_path(package: str) -> None:
    with pytest.warns(DeprecationWarning, match="has moved") as caught:
        from house import room  # type: ignore[import-not-found]
    assert caught[0].filename == __file__
    assert room.made


def test_what_lies_below_a_moved_folder_is_not_loaded_twice(package: str) -> None:
    with pytest.warns(DeprecationWarning, match=r"house\.store") as caught:
        old = importlib.import_module("house.cellar.wine")
    assert old is importlib.import_module("house.store.wine")
    assert len(caught) == 2  # the folder, and the module


def test_what_never_moved_is_not_found(package: str) -> None:
    for name in ("house.roof", "house.rooms.green", "house.roomy", "room"):
        with pytest.raises(ModuleNotFoundError):
            importlib.import_module(name)


def test_a_second_redirection_of_a_package_replaces_the_first(package: str) -> None:
    redirect("house", {"room": "store.wine"})
    assert sum(isinstance(each, Redirect) and each.package == "house" for each in sys.meta_path) == 1
    with pytest.warns(DeprecationWarning, match=r"house\.store\.wine"):
        importlib.import_module("house.room")


def test_an_old_command_runs(package: str, tmp_path: Path) -> None:
    (tmp_path / "house/__init__.py").write_text(
        "from rltf_env._moved import redirect\nredirect('house', {'room': 'rooms.blue'})\n"
    )
    done = subprocess.run([sys.executable, "-m", "house.room"], capture_output=True, text=True, cwd=tmp_path)
    assert (done.stdout, done.stderr, done.returncode) == ("runs __main__\n", "", 0)


def test_an_old_name_is_the_new_object_and_warns_with_the_new_name(package: str, tmp_path: Path) -> None:
    text = "from rltf_env._renamed import renamed\nNew = object()\n__getattr__ = renamed(__name__, {'Old': 'New'})\n"
    (tmp_path / "house/rooms/red.py").write_text(text)
    red = importlib.import_module("house.rooms.red")
    with pytest.warns(DeprecationWarning, match=r"house\.rooms\.red\.Old is now house\.rooms\.red\.New\.$") as caught:
        assert red.Old is red.New
    assert caught[0].filename == __file__
    with pytest.raises(AttributeError, match=r"'house\.rooms\.red' has no attribute 'Odl'"):
        red.Odl  # noqa: B018
