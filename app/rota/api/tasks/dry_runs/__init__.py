"""`?dry_run=true` of registrations: what they would do, without doing it."""
