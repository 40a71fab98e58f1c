"""Values that everything else is made of: ids, instants, durations, sizes, names, and JSON as text."""
