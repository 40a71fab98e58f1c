"""Tasks: their definition, what a registration carries besides, and lint."""
