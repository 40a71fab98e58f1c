"""The audit log: written in the commit of each change that a client makes."""
