"""Explanations: why a task is not running now, or did not run at a time."""
