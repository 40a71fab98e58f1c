"""Cron expressions: their fields, what other dialects write, when they match, and a description."""
