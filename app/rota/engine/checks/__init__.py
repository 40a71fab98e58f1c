"""What is looked at from time to time: constraints, alerts, and leases that end."""
