"""One attempt in this process: async or in a thread, with what it prints and logs."""
