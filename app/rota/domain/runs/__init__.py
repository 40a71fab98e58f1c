"""Runs: their status, the outcome of an attempt, planning, and settlement."""
