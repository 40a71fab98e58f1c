"""SQL for the key-value tables of tasks: reads, writes, history, and changes."""
