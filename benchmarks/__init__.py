"""Measurement: metrics, suites, evaluation."""

from importlib.util import find_spec

from rltf_env._moved import redirect

if find_spec("rich") is None:
    raise ModuleNotFoundError(
        "benchmarks needs rich, and got none. It is run from a checkout: pip install -e '.[agents]' there.", name="rich"
    )

redirect(
    __name__,
    {
        "ablation": "studies.ablation",
        "audit": "studies.audit",
        "generation": "speed.writing",
        "masks": "speed.masks",
        "page": "records.page",
        "report": "records.report",
        "throughput": "speed.judge",
        "throughput_env": "speed.env",
        "training": "speed.training",
        "writers": "solvers",
    },
)
