"""Holidays of countries and their subdivisions, as the library `holidays` has them. The only module that knows it.

They are rules, not a list: those of next year are there without a change. The library is an extra.
"""

from collections.abc import Mapping
from datetime import date
from functools import lru_cache
from importlib import import_module
from importlib.metadata import version
from typing import Any, NamedTuple

from rota.domain.calendars.extra import INSTALL, check_installed, is_installed
from rota.domain.validation.messages import nearest
from rota.errors import Fault, Invalid, Unplannable, sentence

#: Years in which there are holidays: before and after them the rules are guesses.
FIRST_YEAR, LAST_YEAR = 1970, 2100
_LIBRARY = "holidays"
_SHOWN = 60


class Region(NamedTuple):
    """A country by its code (ISO 3166-1), and a part of it as the library names it (mostly by ISO 3166-2)."""

    country: str
    subdivision: str | None = None


#: No region: it has no holidays.
NOWHERE = Region("")


def library_version() -> str | None:
    """Return the version of the library, whose updates change holidays; None: it is not installed."""
    return version(_LIBRARY) if is_installed(_LIBRARY) else None


def is_newer(one: str, than: str) -> bool:
    """Return whether one version of the library is newer than another."""
    return _numbers(one) > _numbers(than)


def check_region(region: Region) -> None:
    """Raise Invalid, with pointers, if there are no holidays of a region; Conflict if the library is not installed."""
    check_installed(_LIBRARY)
    known: Mapping[str, list[str]] = _library().list_supported_countries(include_aliases=False)
    parts = known.get(region.country)
    if parts is None:
        raise _unknown(
            "/holidays/country",
            f"there is no country {region.country!r} here; give a code of ISO 3166-1, such as 'DE'"
            + nearest(region.country, list(known)),
        )
    if region.subdivision is not None and region.subdivision not in parts:
        there = f"there are: {', '.join(parts)[: 6 * _SHOWN]}" if parts else "it has none here"
        near = nearest(region.subdivision, parts)
        raise _unknown(
            "/holidays/subdivision",
            f"{region.country} has no subdivision {region.subdivision!r}; {there}{near}",
        )


def holidays_of(region: Region, year: int) -> Mapping[date, str]:
    """Return the holidays of a year by their dates, with their names; none outside of the known years.

    Raises Unplannable if the library is not installed, or does not know the region any more.
    """
    return _holidays_of(region, year) if FIRST_YEAR <= year <= LAST_YEAR else {}


@lru_cache(maxsize=4_096)
def _holidays_of(region: Region, year: int) -> Mapping[date, str]:
    if not is_installed(_LIBRARY):
        raise Unplannable(
            f"the library {_LIBRARY!r} is not installed where the service runs: {INSTALL}"
        )
    try:
        found = _library().country_holidays(
            region.country, subdiv=region.subdivision, years=[year], expand=False
        )
    except NotImplementedError as error:
        raise Unplannable(
            f"there are no holidays of {'-'.join(filter(None, region))}: {error}"
        ) from None
    return {day: found[day] for day in sorted(found) if day.year == year}


def _library() -> Any:
    return import_module(_LIBRARY)


def _numbers(release: str) -> tuple[int, ...]:
    return tuple(int(part) for part in release.split(".") if part.isdecimal())


def _unknown(pointer: str, detail: str) -> Invalid:
    return Invalid(sentence(f"{pointer}: {detail}"), Fault(pointer, detail))
