"""The pages of the dashboard: what each asks the API for, and what it does."""
