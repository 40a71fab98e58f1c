"""Handlers: found, described, and carried out."""
