"""The time zone database: the pinned package, not that of the machine."""

import json
import subprocess
import sys
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from zoneinfo import ZoneInfo

import pytest
import tzdata

from rota.domain.schedules.base import Anchor
from rota.domain.schedules.fire_times import fire_times
from rota.domain.time_zones.database import PINNED, ZoneDatabase
from rota.domain.time_zones.zone import computed_with, zone
from rota.errors import Unplannable
from tests.domain.schedules.rules import read
from tests.support.zones import changed, zone_names

NOON = datetime(2026, 11, 29, 12, tzinfo=UTC)
# What a fresh process says of a zone: its offset by Rota, and by Python itself.
_SAYS = """
import json
from datetime import UTC, datetime
from zoneinfo import ZoneInfo
from rota.domain.time_zones.zone import zone
at = datetime(2026, 11, 29, 12, tzinfo=UTC)
places = (zone("Europe/Berlin"), ZoneInfo("Europe/Berlin"))
print(json.dumps([at.astimezone(place).utcoffset().total_seconds() for place in places]))
"""


def test_every_zone_is_that_of_the_pinned_package() -> None:
    assert PINNED.version == tzdata.IANA_VERSION
    assert set(zone_names()) == set((files("tzdata") / "zones").read_text().split()) - {"Factory"}
    for name in zone_names():
        place = ZoneInfo(name)  # the tests read the package as well
        for month in range(1, 13):
            at = NOON.replace(month=month, day=15)
            assert at.astimezone(zone(name)).isoformat() == at.astimezone(place).isoformat()


def test_a_database_of_the_machine_is_not_read(tmp_path: Path) -> None:
    content = (files("tzdata") / "zoneinfo" / "Asia" / "Tokyo").read_bytes()
    (tmp_path / "Europe").mkdir()
    (tmp_path / "Europe" / "Berlin").write_bytes(content)

    printed = subprocess.run(
        [sys.executable, "-c", _SAYS],
        env={"PYTHONTZPATH": str(tmp_path)},
        cwd=Path(__file__).parents[3],
        capture_output=True,
        check=True,
    )

    # What a handler reads by itself is left as it was.
    assert json.loads(printed.stdout) == [3600, 9 * 3600]


def test_a_zone_is_one_object_and_knows_its_name() -> None:
    assert zone("Europe/Berlin") is zone("Europe/Berlin")
    assert zone("Europe/Berlin").key == "Europe/Berlin"


@pytest.mark.parametrize("name", ["Atlantis/Capital", "localtime", "Factory", "../etc/passwd", ""])
def test_what_is_no_zone_cannot_be_planned(name: str) -> None:
    with pytest.raises(Unplannable):
        zone(name)


def test_a_packed_database_is_the_same_when_it_is_unpacked() -> None:
    unpacked = ZoneDatabase.unpack(PINNED.release, PINNED.packed)

    assert (unpacked.version, unpacked.release) == (PINNED.version, PINNED.release)
    assert unpacked.names == PINNED.names
    assert unpacked.packed == PINNED.packed


def test_releases_differ_by_their_files() -> None:
    other = changed(PINNED.version, {"Europe/Berlin": "Asia/Tokyo"})

    assert other.version == PINNED.version
    assert other.release != PINNED.release
    releases = ["2025b-1", "2026f-1", "2026fa-0", "2026g-0"]
    assert sorted(releases) == releases  # a newer one is greater


def test_rules_follow_the_database_that_they_are_computed_with() -> None:
    schedule = read(
        type="cron", expression="0 9 * * *", timezone="Europe/Berlin", exclude=["2026-12-01"]
    )

    def first() -> datetime:
        return next(fire_times(schedule, Anchor(NOON), NOON)).at

    assert first() == datetime(2026, 11, 30, 8, tzinfo=UTC)
    with computed_with(changed("2099a", {"Europe/Berlin": "Asia/Tokyo"})):
        assert first() == datetime(2026, 11, 30, tzinfo=UTC)
    assert first() == datetime(2026, 11, 30, 8, tzinfo=UTC)
