"""Find a component by name: a file of its folder (`find("rewards", "fine")`), or `"module:attr"` of a third party.

File name = id. Nothing is registered anywhere: adding a component is adding a file, removing it is removing the file.
"""

from __future__ import annotations

import contextlib
import datetime
import importlib
import importlib.util
import json
import pkgutil
import tomllib
from collections.abc import Iterable, Mapping
from types import ModuleType
from typing import Any

from rltf_env.errors import UnknownName, UsageError

OWN = 'A component of your own is named "module:attr".'
NOUNS = {"policies": "policy", "algorithms": "agent", "decoding": "decoder", "sandbox": "sandbox"}  # of folders


def as_options(name: str, options: Mapping[str, Any] | None) -> dict[str, Any]:
    """Options as a dict. Raises UsageError unless they are a mapping, or None."""
    if options is not None and not isinstance(options, Mapping):
        raise UsageError(f"Expected {name} to be a dict of names and values, got {options!r}.")
    return dict(options or {})


def names(folder: str, *, package: str = "rltf_env") -> tuple[str, ...]:
    """Names of the components in `package.folder` (`folder=""`: the package itself): its modules that define `load`."""
    where = _folder(package, folder)
    modules = (module.name for module in pkgutil.iter_modules(where.__path__))
    return tuple(sorted(name for name in modules if _is_component(where, name)))


def _folder(package: str, folder: str) -> ModuleType:
    return importlib.import_module(f"{package}.{folder}" if folder else package)


def _is_component(where: ModuleType, name: str) -> bool:
    """Whether a folder has a public module of this name that defines `load`."""
    if name.startswith("_") or not name.isidentifier():
        return False
    spec = importlib.util.find_spec(f"{where.__name__}.{name}")
    if spec is None or spec.origin is None:
        return False
    with open(spec.origin, encoding="utf-8") as file:  # read, not imported: listing names must cost no imports
        return any(line.startswith("def load(") for line in file)


def find(folder: str, name: str, *, package: str = "rltf_env") -> Any:
    """The `load` function of component `name`, or the object that `"module:attr"` names.

    Raises:
        UnknownName: no such component; the message names the nearest.
    """
    if ":" in name:
        return _third_party(folder, name)
    if not _is_component(_folder(package, folder), name):  # the others are looked at for the message alone
        kind, choices = NOUNS.get(folder, (folder or package).removesuffix("s")), names(folder, package=package)
        raise UnknownName(kind, name, choices, hint=OWN)
    return importlib.import_module(".".join(filter(None, (package, folder, name)))).load


def _third_party(folder: str, name: str) -> Any:
    module_name, _, attribute = name.partition(":")
    try:
        module = importlib.import_module(module_name)
    except ModuleNotFoundError as error:
        if error.name and not module_name.startswith(error.name):
            raise  # the module is there; something that it imports is not
        raise UsageError(
            f"Expected {name!r} to name an importable module, but {module_name!r} is not installed or not on sys.path."
        ) from error
    try:
        return getattr(module, attribute)
    except AttributeError:
        raise UnknownName(f"attribute of {module_name}", attribute, [n for n in vars(module) if n[0] != "_"]) from None


def options(texts: Iterable[str]) -> dict[str, Any]:
    """Several of `option`, the last of a name. Raises UsageError."""
    return dict(map(option, texts))


def option(text: str) -> tuple[str, Any]:
    """`KEY=VALUE`, as a command takes options for a component: the value as JSON or TOML if it is one, else as text.

    A date stays text, as components take it.

    Raises:
        UsageError: there is no "=", or nothing before it.
    """
    key, equals, value = text.partition("=")
    if not equals or not key:
        raise UsageError(f"Expected an option as KEY=VALUE, got {text!r}.")
    return key, _value(value)


def _value(text: str) -> Any:
    with contextlib.suppress(ValueError):
        return json.loads(text)
    with contextlib.suppress(tomllib.TOMLDecodeError):
        value = tomllib.loads(f"value = {text}")["value"]
        return text if isinstance(value, datetime.date | datetime.time) else value
    return text
