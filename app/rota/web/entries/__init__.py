"""Entries of key-value tables as pages show them: values, and how two differ."""
