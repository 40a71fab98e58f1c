"""Commands that need no service: they work on the database, on files, or on nothing."""
