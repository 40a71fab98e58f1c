"""What a client of Rota must send, and what it must make of the replies: docs/reference/conformance.md."""
