"""Named secrets: their names, their bindings to servers and tasks, and their values."""
