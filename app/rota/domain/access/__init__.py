"""Who makes a request, and what they may do: scopes, and the names that a key is limited to."""
