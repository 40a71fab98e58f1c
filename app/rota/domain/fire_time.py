"""A fire time: an instant at which a schedule is due, in whole milliseconds."""

from datetime import datetime, timedelta
from typing import NamedTuple

from rota.domain.reasons import SkipReason

#: The precision of all times: whole milliseconds.
TICK = timedelta(milliseconds=1)


class FireTime(NamedTuple):
    """An instant at which a schedule is due; with `skip` it becomes a skipped run."""

    at: datetime  # UTC, whole milliseconds
    skip: SkipReason | None = None
