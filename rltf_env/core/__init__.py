"""The dictionary of the project: the frozen values that flow, and the protocols of the seams.

    Problem --prompt--> tokens --agent--> Program --Sandbox--> Verdict --Reward--> Feedback

One page a value, in the order of the flow: `problems.py`, `programs.py`, `verdicts.py`, `feedback.py`, and `seams.py`
for what transforms them. Everything here is plain data: no I/O, no randomness, no torch. Axes: T is the number of
tokens of a program. Import all of it from here.
"""

from __future__ import annotations

from rltf_env._renamed import renamed
from rltf_env.core.feedback import Feedback, Judgement
from rltf_env.core.problems import CallCase, Case, Limits, Problem, Problems, ScriptCase, StdinCase
from rltf_env.core.programs import Attempt, BoolArray, FloatArray, IntArray, Program, line_starts
from rltf_env.core.seams import ComparativeReward, Reward, Sandbox, Source, Tokenizer
from rltf_env.core.verdicts import CaseResult, Failure, FailureKind, Outcome, Verdict
from rltf_env.facts import Facts

__all__ = [
    "Attempt",
    "BoolArray",
    "CallCase",
    "Case",
    "CaseResult",
    "ComparativeReward",
    "Facts",
    "Failure",
    "FailureKind",
    "Feedback",
    "FloatArray",
    "IntArray",
    "Judgement",
    "Limits",
    "Outcome",
    "Problem",
    "Problems",
    "Program",
    "Reward",
    "Sandbox",
    "ScriptCase",
    "Source",
    "StdinCase",
    "Tokenizer",
    "Verdict",
    "line_starts",
]

__getattr__ = renamed(__name__, {"Kind": "FailureKind"})
