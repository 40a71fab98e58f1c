"""Bulk operations on runs: previewed, confirmed, followed."""
