"""The dashboard: pages that are made of what the API answers, and nothing else."""
