"""Findings about targets that report their outcomes later."""

from rota.domain.primitives.finding import Finding


def no_public_url() -> Finding:
    """Return the finding that requests carry no address to report the outcome to."""
    return Finding(
        "no_public_url",
        "The target gets no address to report its outcome to, since ROTA_PUBLIC_URL is not set: it has to know where "
        "this service is, and to use the token in X-Rota-Token. Set ROTA_PUBLIC_URL to have the addresses sent.",
    )
