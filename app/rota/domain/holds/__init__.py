"""Holds: spans of time in which the tasks that a selector matches do not fire."""
