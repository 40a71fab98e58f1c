"""SQL for API keys."""
