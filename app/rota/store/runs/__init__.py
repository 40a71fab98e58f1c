"""SQL for runs: reading, inserting, claiming, queues, and what they wait for."""
