"""The documents of Rota as pages of the service: `/guide`, and `/llms.txt` for programs that read."""
