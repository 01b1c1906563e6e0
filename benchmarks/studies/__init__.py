"""Studies: a question, arms beside honest controls, and a prediction that was written before the first run.

What they share is in `arms`; docs/results/studies.md lists them, and says which have been run.
"""
