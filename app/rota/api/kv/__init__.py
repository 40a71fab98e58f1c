"""Routes of the key-value table of a task."""
