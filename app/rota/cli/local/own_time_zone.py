"""The time zone of this machine."""

import os
from pathlib import Path

from rota.domain.time_zones.zone import check_zone

_LOCALTIME = Path("/etc/localtime")
_NAMED = Path("/etc/timezone")
_FOLDER = "/zoneinfo/"


def own_time_zone() -> str:
    """Return the name of the time zone of this machine; UTC if it cannot be found out."""
    for candidate in (os.environ.get("TZ", "").lstrip(":"), _linked(), _written()):
        try:
            if candidate:
                return "UTC" if candidate == "Etc/UTC" else check_zone(candidate)
        except ValueError:
            continue
    return "UTC"


def _linked() -> str:
    try:
        path = str(_LOCALTIME.resolve(strict=True))
    except OSError:
        return ""
    return path.partition(_FOLDER)[2]


def _written() -> str:
    try:
        return _NAMED.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError):
        return ""
