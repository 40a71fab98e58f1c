"""The service as a process of the command line: its start, its reloads, and the file that it makes."""
