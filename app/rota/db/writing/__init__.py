"""Inside the writer: commands in one commit, and those that wait for a lock."""
