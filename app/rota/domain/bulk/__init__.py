"""Bulk: one verb for many runs, shown before it is executed, with a result for each run."""
