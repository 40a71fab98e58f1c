"""What all routes use: routing, validation, entity tags, pagination, responses and server-sent events."""
