"""The SDK for authors of handlers. Users import it from `rota`."""
