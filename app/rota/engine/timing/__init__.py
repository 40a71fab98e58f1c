"""What wakes the engine: the scheduler, periodic work, and steps of the wall clock."""
