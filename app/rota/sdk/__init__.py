"""What handlers are written with. Users import it from `rota`."""
