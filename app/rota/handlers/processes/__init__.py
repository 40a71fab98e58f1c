"""Handlers with `isolation="process"`: the fork server, the child, and the protocol between them."""
