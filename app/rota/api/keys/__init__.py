"""API keys: made, listed, rotated and revoked; their secrets are shown once."""
