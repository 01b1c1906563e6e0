"""Unit tests made automatically: any set of typed functions becomes an environment (after arXiv 2310.13669).

    with sandbox.load(**judge_options()) as judge:
        made = synthesize(problems, judge, np.random.default_rng(0))

    functions --types--> inputs --in the judge, twice--> outputs --wrong programs--> the tests that tell them apart

Inputs are drawn by the types of a function's parameters, edges first (`inputs.py`). What the function gives on them is found in the
judge (`results.py`): nothing of it runs at home. An input on which it raises, is late, gives no plain data or another
result the second time is dropped. Of the rest those are kept that fail most mutants of the function
(`coverage.py`), filled up with inputs of different outputs; and a function only if they fail enough of them.
`python -m rltf_env.synthesis` is the command. `rltf_env/strengthen.py` adds tests to problems that have some.
"""

from rltf_env.synthesis.making import Settings, function, synthesize
from rltf_env.synthesis.results import judge_options

__all__ = ["Settings", "function", "judge_options", "synthesize"]
