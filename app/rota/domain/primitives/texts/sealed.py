"""Inputs and headers that are kept encrypted, as the tables have them."""

#: No JSON text begins so.
PREFIX = "sealed:"


class SealedText(str):
    """The input of a task, or a header, as it is stored: `sealed:<key id>:<base64>`."""

    __slots__ = ()


def is_sealed(text: str) -> bool:
    """Return whether a stored input is encrypted."""
    return text.startswith(PREFIX)


def key_of(text: str) -> str:
    """Return the id of the key that a text is encrypted with."""
    return text.removeprefix(PREFIX).partition(":")[0]


#: Represents a plain input that must be sealed: it cannot be read.
NOT_SEALED = PREFIX
