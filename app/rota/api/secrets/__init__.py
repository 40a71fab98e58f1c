"""Named secrets: written, listed, rotated and removed, and never returned."""
