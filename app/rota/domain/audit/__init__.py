"""The audit log: who changed what, and what of a change is kept."""
