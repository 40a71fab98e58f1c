"""Templates in targets: their grammar, filters, scope, checks, and filling them in."""
