"""Inputs that are kept encrypted, as the tables have them."""

#: No JSON text begins so.
PREFIX = "sealed:"


class SealedText(str):
    """The input of a task as it is stored: `sealed:<key id>:<base64>`."""

    __slots__ = ()


def is_sealed(text: str) -> bool:
    """Return whether a stored input is encrypted."""
    return text.startswith(PREFIX)
