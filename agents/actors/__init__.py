"""Actors: processes that write programs for a learner elsewhere."""
