"""A task as code: what the page of a task offers to copy."""
