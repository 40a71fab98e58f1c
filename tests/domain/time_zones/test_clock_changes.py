"""Days on which the clocks change."""

from datetime import UTC, datetime

import pytest

from rota.domain.time_zones.clock_changes import clock_change


@pytest.mark.parametrize(
    ("zone", "at", "found"),
    [
        ("Europe/Berlin", "2026-03-28T22:59", None),
        ("Europe/Berlin", "2026-03-28T23:00", "gap"),
        ("Europe/Berlin", "2026-03-29T01:00", "gap"),
        ("Europe/Berlin", "2026-03-29T21:59", "gap"),
        ("Europe/Berlin", "2026-03-29T22:00", None),
        ("Europe/Berlin", "2026-10-25T00:30", "fold"),
        ("Europe/Berlin", "2026-10-25T01:30", "fold"),
        ("UTC", "2026-03-29T01:00", None),
        # At midnight: the day whose first hour is left out, and the one whose last hour comes twice.
        ("America/Santiago", "2026-09-06T03:00", None),
        ("America/Santiago", "2026-09-06T04:00", "gap"),
        ("America/Santiago", "2026-04-05T03:30", "fold"),
        ("America/Santiago", "2026-04-05T04:30", None),
        # Only the year turns.
        ("Europe/Berlin", "2026-12-31T23:30", None),
    ],
)
def test_a_time_is_marked_on_the_day_on_which_the_clocks_change(
    zone: str, at: str, found: str | None
) -> None:
    assert clock_change(zone, datetime.fromisoformat(at).replace(tzinfo=UTC)) == found
