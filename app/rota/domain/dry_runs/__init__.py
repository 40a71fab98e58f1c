"""Dry runs: what a registration would change, field by field and fire time by fire time. Pure."""
