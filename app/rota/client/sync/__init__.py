"""The half of the client that awaits nothing, made from `aio/` by `python -m tests.client.sync_half`.

`concurrency.py` and `kv/face.py` are written by hand.
"""
