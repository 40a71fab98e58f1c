"""What every connection carries, so that it is not read or passed each time."""
