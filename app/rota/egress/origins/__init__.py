"""Whether a host may be called now: its circuit, its limits, and both together."""
