"""SQL for named secrets: reading and changing them, and opening those of claimed runs."""
