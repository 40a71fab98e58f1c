"""UNSET: the absence of a value where null is a value like any other."""

from enum import Enum
from typing import Final


class Unset(Enum):
    """The type of UNSET; an enum, so that `is UNSET` narrows types."""

    UNSET = "unset"


UNSET: Final = Unset.UNSET
