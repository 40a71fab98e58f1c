"""`rota import`: schedules of other programs as tasks. Nothing that is read is executed."""
