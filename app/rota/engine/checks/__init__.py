"""What is checked from time to time: constraints, alerts, and leases that end."""
