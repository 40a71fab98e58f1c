"""Time zones: their names, the pinned database, and local times as instants."""
