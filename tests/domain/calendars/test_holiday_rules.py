"""Holidays of regions: those of Berlin are known, and each year has its own."""

from datetime import date

import pytest

from rota.domain.calendars.days import HolidayDays
from rota.domain.calendars.holiday_rules import (
    LAST_YEAR,
    Region,
    check_region,
    holidays_of,
    is_newer,
)
from rota.errors import Conflict, Invalid, Unplannable

BERLIN = Region("DE", "BE")


def test_the_holidays_of_berlin_in_a_year_are_those_of_the_law() -> None:
    assert sorted(holidays_of(BERLIN, 2026)) == [
        *(date(2026, 1, 1), date(2026, 3, 8), date(2026, 4, 3), date(2026, 4, 6)),
        *(date(2026, 5, 1), date(2026, 5, 14), date(2026, 5, 25), date(2026, 10, 3)),
        *(date(2026, 12, 25), date(2026, 12, 26)),
    ]


def test_the_holidays_of_later_years_are_there_without_a_change() -> None:
    days = HolidayDays(BERLIN)

    assert days.end(date(2040, 12, 25)) == date(2040, 12, 26)
    assert days.end(date(2040, 12, 24)) is None
    assert next(days.after(date(2040, 12, 27))) == date(2041, 1, 1)
    assert days.end(date(LAST_YEAR + 1, 12, 25)) is None


@pytest.mark.parametrize(
    ("region", "message"),
    [
        (Region("XX"), "/holidays/country: there is no country 'XX'"),
        (Region("de"), "did you mean 'DE'"),
        (
            Region("DE", "be"),
            "/holidays/subdivision: DE has no subdivision 'be'.*did you mean 'BE'",
        ),
    ],
)
def test_a_region_that_is_not_known_is_refused(region: Region, message: str) -> None:
    with pytest.raises(Invalid, match=message):
        check_region(region)


def test_without_the_library_a_calendar_is_refused_and_a_stored_one_cannot_be_planned(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("rota.domain.calendars.extra.find_spec", lambda _: None)

    with pytest.raises(Conflict, match=r"rota\[calendars\]"):
        check_region(BERLIN)
    with pytest.raises(Unplannable, match="not installed"):
        holidays_of(BERLIN, 1999)


def test_versions_are_compared_by_their_numbers() -> None:
    assert is_newer("0.109", "0.98")
    assert not is_newer("0.98", "0.98")
