"""Constraints: what must hold before a run starts, and whether it does."""
