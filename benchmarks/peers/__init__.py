"""What Rota is measured against, each in a process of its own that prints its numbers as JSON."""
