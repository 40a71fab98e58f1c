"""Alerts: when a task's failures, successes, skipped and late runs notify another task."""
