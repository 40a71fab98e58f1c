"""What `rota doctor` looks at."""
