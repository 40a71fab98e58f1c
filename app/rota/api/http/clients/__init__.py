"""What is kept of clients in memory: their stored keys, their calls, and their open requests."""
