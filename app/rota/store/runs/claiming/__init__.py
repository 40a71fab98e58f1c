"""Starting attempts: the claim of a replica, and the lease of a worker outside."""
