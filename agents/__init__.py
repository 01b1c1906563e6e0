"""Learning: policies, decoding and algorithms. Torch and transformers live here."""

from importlib.util import find_spec

_absent = [name for name in ("torch", "transformers", "rich", "tomli_w", "matplotlib") if find_spec(name) is None]
if _absent:
    _names = ", ".join(_absent)
    raise ModuleNotFoundError(f"agents needs {_names}, and got none: pip install 'rltf[agents]'.", name=_absent[0])
