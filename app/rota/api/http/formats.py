"""Instants and durations as the API writes them."""

from datetime import datetime, timedelta
from typing import Annotated

from pydantic import TypeAdapter, WithJsonSchema

from rota.domain.primitives.times.durations import to_seconds
from rota.domain.primitives.times.instants import Instant, format_instant

#: A formatted instant, which OpenAPI describes as an instant.
InstantText = Annotated[str, WithJsonSchema(TypeAdapter(Instant).json_schema())]


def show_instant(instant: datetime | None) -> str | None:
    return None if instant is None else format_instant(instant)


def show_seconds(duration: timedelta | None) -> float | None:
    return None if duration is None else to_seconds(duration)
