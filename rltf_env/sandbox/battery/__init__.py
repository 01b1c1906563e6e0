"""Hostile, odd and honest programs that every judge is tried on."""
