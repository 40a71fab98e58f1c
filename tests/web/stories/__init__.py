"""Stories: what an operator does in the dashboard, in a real browser against a service that listens."""
