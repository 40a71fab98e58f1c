"""What runs next of all tasks: as JSON, and as a feed for calendars."""
