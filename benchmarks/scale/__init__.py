"""What operators ask of a large database, measured: lists, and what is registered beside them."""
