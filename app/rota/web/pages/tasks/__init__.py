"""The pages of tasks: the list, one, its form, and what is done with many."""
