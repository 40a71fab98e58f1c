"""Workers: they take runs from a queue, and execute them here."""
