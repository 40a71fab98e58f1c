"""SQL for what is stored encrypted: kv values, secret inputs, secret headers, and the rotation of keys."""
