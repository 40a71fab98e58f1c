"""What pydantic found wrong, as faults in plain English with JSON pointers."""
