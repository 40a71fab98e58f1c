"""Values of JSON in a line."""

import json
from typing import Any

_MOST = 60


def shortened(value: Any, most: int = _MOST) -> str:
    """Return the beginning of a value as JSON in one line."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def plural(count: int, noun: str) -> str:
    """Return a number with its noun: `1 run`, `1,284 runs`."""
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
