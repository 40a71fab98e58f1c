"""Named calendars: declared, read, listed and removed."""
