"""What the API returns, as frozen pydantic models; fields of a newer server are kept."""
