"""Secrets as they may be shown: without their values."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from rota.domain.primitives.ids import Id
from rota.domain.secrets.opened import OpenedSecret


class Source(StrEnum):
    """Where a secret comes from."""

    STORED = "stored"  # by PUT, sealed in the database
    ENVIRONMENT = "environment"  # from ROTA_SECRET_… or its file; it takes precedence over a stored one of its name


@dataclass(frozen=True, slots=True, kw_only=True)
class Secret:
    """A secret without its value."""

    name: str
    source: Source
    origins: tuple[str, ...]
    tasks: tuple[str, ...]
    description: str | None = None
    #: Those that only a stored one has: what its entity tag is made of, and when which value was given.
    id: Id | None = None
    version: int | None = None
    previous_until: datetime | None = None
    rotated_at: datetime | None = None
    created_at: datetime | None = None
    updated_at: datetime | None = None
    updated_by: str | None = None


def of_environment(opened: OpenedSecret) -> Secret:
    """Return a secret of the environment without its value."""
    return Secret(
        name=opened.name, source=Source.ENVIRONMENT, origins=opened.origins, tasks=opened.tasks
    )
