"""Calendars: declared, read, removed, and their days filled into the schedules that name them."""
