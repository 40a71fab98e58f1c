"""Bulk: a verb applied to every task that a selector matches."""
