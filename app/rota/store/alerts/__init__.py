"""Alerts: raised and recovered in the commits that cause them, and notifications until they are sent."""
