"""Measurement: metrics, suites, evaluation."""

from importlib.util import find_spec

if find_spec("rich") is None:
    raise ModuleNotFoundError("benchmarks needs rich, and got none: pip install 'rltf[agents]'.", name="rich")
