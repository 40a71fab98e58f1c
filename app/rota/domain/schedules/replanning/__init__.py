"""Stored fire times that are replaced: by hand, or when time zones or calendars change."""
