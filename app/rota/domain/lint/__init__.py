"""Lint: what of a task may not be meant, as warnings."""
