"""The built-in `http` handler: request, client, and response."""
