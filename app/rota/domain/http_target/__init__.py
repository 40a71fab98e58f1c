"""The request that the built-in `http` handler makes, and what its reply may say."""
