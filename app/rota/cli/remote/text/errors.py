"""What went wrong, in a line."""

from collections.abc import Mapping
from typing import Any

_MOST = 80


def error_line(error: Mapping[str, Any] | None) -> str | None:
    """Return the beginning of the error of a run or an attempt; None without one."""
    if error is None:
        return None
    lines = f"{error['type']}: {error['message']}".splitlines()
    return lines[0][:_MOST]
