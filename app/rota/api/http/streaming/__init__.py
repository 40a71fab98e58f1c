"""Responses that go on: server-sent events, streams, and waiting for runs."""
