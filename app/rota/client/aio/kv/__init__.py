"""Key-value tables of tasks."""
