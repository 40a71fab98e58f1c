"""What runs by itself: the clock, firing, claiming, running, leases and maintenance."""
