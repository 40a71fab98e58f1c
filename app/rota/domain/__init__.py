"""Rota's rules: pure, without I/O; the time is always an argument."""
