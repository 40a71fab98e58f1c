"""Bulk operations on runs: selected, confirmed, and executed batch by batch."""
