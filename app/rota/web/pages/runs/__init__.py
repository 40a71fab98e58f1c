"""The pages of runs: the list, one, failures in groups, repairs, and what is done with many."""
