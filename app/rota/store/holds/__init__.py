"""Holds: set, changed, ended, and read."""
