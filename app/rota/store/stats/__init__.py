"""Statistics: the numbers, as they are read."""
