"""Commands that ask a service, by `rota.client` only."""
