"""JSON: as Rota stores it, as a response has it, and the absence of a value."""
