"""What every route uses: routing, problems, validation, entity tags, pagination, and server-sent events."""
