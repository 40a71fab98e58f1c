"""Statistics: the outcomes of the fire times of a window, as numbers. Pure; the time is an argument."""
