"""SQL for tasks: registration, lifecycle, retention, and commands on their runs."""
