"""Continual learning: tasks one after another, and what becomes of the old ones (CodeTask-CL, arXiv 2307.02435).

sequence.py   a file of tasks, and the recipe of each run of a method
chain.py      the runs and their measurements: resumable, nothing is done twice
transfer.py   what a matrix of results says: average, forgetting, backward and forward transfer
bleu.py       BLEU-4, for data that are texts without tests
figures.py    tables and the picture
retold.toml   a sequence of four tasks that two cores learn in minutes

python -m benchmarks.continual retold --method replay
"""
