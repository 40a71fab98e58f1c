"""How a statement for many rows is written for each dialect."""
