"""Alerts over HTTP: rules, what is raised, and notifications until they are sent."""

FAILING = {"handler": "fail", "schedule": {"type": "manual"}, "retry": {"max_attempts": 1}}
