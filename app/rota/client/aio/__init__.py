"""The `async` half of the client, written by hand; `python -m tests.client.sync_half` makes the other one of it."""
