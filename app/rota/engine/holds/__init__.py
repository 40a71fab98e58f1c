"""What continues when a hold has ended."""
