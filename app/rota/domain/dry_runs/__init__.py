"""Dry runs: what a registration would change, member by member and fire time by fire time. Pure."""
