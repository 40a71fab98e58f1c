"""Calls in this process, async or in a thread, and the journals of their output."""
