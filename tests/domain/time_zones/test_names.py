"""Names of time zones: which exist, and the messages for those that do not."""

from typing import Any

import pytest
from pydantic import ValidationError

from rota.domain.constraints.definitions import Window
from rota.domain.time_zones.names import actual_offset
from rota.domain.time_zones.zone import check_zone
from tests.domain.schedules.rules import read
from tests.support.zones import zone_names

#: What folders of a machine hold beside the zones of IANA.
NO_PLACES = [
    "localtime",
    "Factory",
    "posixrules",
    "posix/Europe/Berlin",
    "right/Europe/Berlin",
    "leapseconds",
    "leap-seconds.list",
    "tzdata.zi",
    "zone.tab",
    "zone1970.tab",
    "iso3166.tab",
    "+VERSION",
    "Europe",
    "America/Argentina",
    "SystemV/EST5",
    "../zoneinfo/Europe/Berlin",
    "Europe/../Europe/Berlin",
    "./UTC",
    "/etc/localtime",
    "UTC0",
    "CET-1CEST",
    "",
]
DAILY = {"type": "cron", "expression": "0 9 * * *"}
NINE = {"type": "calendar", "unit": "day", "time": "09:00"}
ONCE = {"type": "once", "at": "2026-12-24T17:30:00"}


@pytest.mark.parametrize("name", NO_PLACES)
@pytest.mark.parametrize("rule", [DAILY, NINE, ONCE])
def test_only_names_of_iana_are_taken_in_schedules(rule: dict[str, Any], name: str) -> None:
    for fields in (
        rule | {"timezone": name},
        {"type": "any_of", "schedules": [rule | {"timezone": name}]},
    ):
        with pytest.raises(ValidationError, match="is not an IANA time zone") as refused:
            read(**fields)
        assert refused.value.errors()[0]["loc"][-1] == "timezone"


@pytest.mark.parametrize("name", NO_PLACES)
def test_only_names_of_iana_are_taken_in_windows(name: str) -> None:
    with pytest.raises(ValidationError, match="is not an IANA time zone") as refused:
        Window.model_validate({"type": "window", "timezone": name})
    assert [fault["loc"][-1] for fault in refused.value.errors()] == ["timezone"]


def test_every_zone_is_taken_as_it_is_written() -> None:
    names = zone_names()

    assert len(names) > 590
    assert [check_zone(name) for name in names] == names
    assert {"UTC", "EST", "US/Pacific", "Europe/Kiev", "Etc/GMT+2", "GMT0"} <= set(names)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("europe/berlin", "did you mean 'Europe/Berlin'?"),
        ("EUROPE/BERLIN", "did you mean 'Europe/Berlin'?"),
        (" Europe/Berlin", "did you mean 'Europe/Berlin'?"),
        ("Europe/Berlinn", "did you mean 'Europe/Berlin'?"),
        ("Berlin", "did you mean 'Europe/Berlin'?"),
        ("posix/Europe/Berlin", "did you mean 'Europe/Berlin'?"),
        ("right/Europe/Berlin", "did you mean 'Europe/Berlin'?"),
        ("America/New York", "did you mean 'America/New_York'?"),
        ("Amercia/New_York", "did you mean 'America/New_York'?"),
        ("new-york", "did you mean 'America/New_York'?"),
        ("utc", "did you mean 'UTC'?"),
        ("Z", "did you mean 'UTC'?"),
        ("UTC+2", "(write 'Etc/GMT-2' for this offset"),
        ("+02:00", "(write 'Etc/GMT-2' for this offset"),
        ("GMT-10", "(write 'Etc/GMT+10' for this offset"),
        ("+00:00", "(write 'UTC')"),
        ("localtime", "'localtime' is whatever the machine is set to"),
        ("Factory", "a machine has whose zone was never set"),
    ],
)
def test_an_unknown_name_is_refused_with_a_suggestion(name: str, hint: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone") as refused:
        check_zone(name)
    assert hint in str(refused.value)


@pytest.mark.parametrize(
    "name", ["CEST", "PST", "Atlantis/Capital", "W. Europe Standard Time", "{x}"]
)
def test_a_name_like_no_other_is_refused_without_a_suggestion(name: str) -> None:
    with pytest.raises(ValueError, match="is not an IANA time zone") as refused:
        check_zone(name)
    assert str(refused.value).endswith("such as 'Europe/Berlin' or 'UTC'")


def test_names_that_turn_the_sign_round_are_known() -> None:
    found = {name: actual_offset(name) for name in zone_names()}
    known = {name: offset for name, offset in found.items() if offset is not None}

    assert len(known) == 26
    assert (known["Etc/GMT+2"], known["Etc/GMT-14"]) == ("UTC-2", "UTC+14")
