"""Other people's agents on our environment, each a file that runs: `python -m agents.examples.sb3_agents PPO`.

`small.py` is the task that they share. A library that is not installed is said to be missing, with how to get it.
"""
