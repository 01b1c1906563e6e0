"""Measurement: metrics, suites, evaluation."""
