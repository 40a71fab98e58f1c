"""SQL for the end of attempts: what an outcome changes, decided and recorded in one commit."""
