"""The facts with which the domain explains why a task does or does not run."""
