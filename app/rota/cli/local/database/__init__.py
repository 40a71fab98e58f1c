"""`rota db`, and the database as the other commands open it."""
