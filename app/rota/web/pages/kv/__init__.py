"""The pages of the kv of a task: its entries, one of them, and going back to how they were."""
