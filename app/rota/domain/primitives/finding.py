"""Findings: what may not be meant. They are shown as `warnings`."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True)
class Finding:
    """Something that may not be meant: what happens, and what to do about it; `at`: when it happens first (UTC)."""

    code: str
    message: str
    at: datetime | None = None
