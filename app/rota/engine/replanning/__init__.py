"""Replanning: stored fire times are replaced when the database of time zones or a calendar changes."""
