"""What the API returns, as frozen pydantic models; members of a newer server are kept."""
