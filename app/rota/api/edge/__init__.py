"""Limits of a connection before its client is authenticated: sizes, deadlines, the number of connections."""
