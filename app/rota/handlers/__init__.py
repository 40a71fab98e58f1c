"""Handlers: their registry, and the execution of calls."""
