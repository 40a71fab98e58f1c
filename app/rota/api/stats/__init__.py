"""Statistics and badges over HTTP."""
