"""The run around an algorithm: its folder, checkpoints, journal, panel and trackers."""
