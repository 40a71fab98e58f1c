"""Time zones for tests."""

from collections.abc import Mapping

from rota.domain.time_zones.database import PINNED, ZoneDatabase
from rota.domain.time_zones.zone import database


def zone_names() -> list[str]:
    """Return the names of all zones in order."""
    return sorted(database().names)


def changed(version: str, zones: Mapping[str, str | None]) -> ZoneDatabase:
    """Return a release in which zones have the rules of others; None: the zone is removed."""
    files = {name: PINNED.file(name) for name in PINNED.names}
    for name, other in zones.items():
        files.pop(name)
        if other is not None:
            files[name] = PINNED.file(other)
    return ZoneDatabase(version, files)
