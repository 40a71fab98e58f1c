"""SQL expressions for both databases."""
