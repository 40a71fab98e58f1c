"""ASGI middleware: authentication, HEAD, and requests that a shutdown cancels."""
