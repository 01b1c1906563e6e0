"""Our judge, data and credit inside other people's trainers and harnesses. One file = one of them.

    completion.py  what the ids that a trainer sampled say, and what our feedback means on them
    judge.py       problems, judge and reward, opened once a process when they are first asked

The others are named after whose hooks they fill. They import `rltf_env` alone, and the library
itself when they are asked for something of it: a reward server without PyTorch can use them. Where
a file is nothing but classes of the library's, to import the file is to ask.
"""

from __future__ import annotations

from rltf_env.adapters.completion import Completion, credit, read

__all__ = ["Completion", "credit", "read"]
