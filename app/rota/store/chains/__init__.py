"""SQL for chains: predecessors, successors, and how an end propagates."""
