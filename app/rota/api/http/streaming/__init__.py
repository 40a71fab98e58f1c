"""Responses that continue: server-sent events, streams, and waiting for runs."""
