"""What wakes the engine's services: the scheduler, intervals, and the watchdog; and steps of the wall clock."""
