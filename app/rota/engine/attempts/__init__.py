"""The runner: attempts from the claim to the commit of their outcome."""
