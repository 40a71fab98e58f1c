"""Constraints of WorkManager that a server does not have: refused, with what to use instead."""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import ValidationError
from pydantic_core import InitErrorDetails, PydanticCustomError

_POWER = (
    "a server has no battery and no charger",
    "to spare a machine that is busy, use 'max_load'",
)
_IDLE = (
    "a server has no user, so it is never idle in that sense",
    "use 'max_load' to wait for a quiet machine, or 'window' for a quiet hour",
)
_NETWORK = (
    "a server is always connected to something, which says nothing about what the run needs",
    "use 'reachable' with the host and port, or the URL, that it needs",
)
_TARIFF = (
    "a server has no metered, unmetered or roaming connection",
    "use 'window' for the hours in which traffic is cheap, and 'reachable' for what must answer",
)
_STORAGE = (
    "what low storage means is up to each phone",
    "use 'min_free_disk' with the bytes that the run needs",
)
_CONTENT = (
    "a server has no content providers to watch",
    "use 'kv' to wait for an entry, or POST /v1/tasks/{name}/run when the content changes",
)

# By the name in lower case, without '_', '-' and 'requires' or 'required'.
_REFUSED: Mapping[str, tuple[str, str]] = {
    **dict.fromkeys(("batterynotlow", "battery", "charging"), _POWER),
    **dict.fromkeys(("deviceidle", "idle"), _IDLE),
    **dict.fromkeys(
        ("network", "networktype", "networkrequest", "connected", "connectivity"), _NETWORK
    ),
    **dict.fromkeys(
        ("metered", "unmetered", "notroaming", "roaming", "temporarilyunmetered"), _TARIFF
    ),
    **dict.fromkeys(("storagenotlow", "storage"), _STORAGE),
    **dict.fromkeys(
        (
            "contenturi",
            "contenturitrigger",
            "contenturitriggers",
            "contenttrigger",
            "contenttriggers",
            "triggercontentupdatedelay",
            "triggercontentmaxdelay",
            "contenttriggerupdatedelay",
            "contenttriggermaxdelay",
        ),
        _CONTENT,
    ),
}


def refuse_workmanager(value: Any) -> Any:
    """Return what is to be read as a constraint; raise for one of WorkManager's, by type, field or bare name."""
    match value:
        case str():
            faults = list(_fault((), value))
        case {"type": str(type)}:
            faults = list(_fault(("type",), type))
        case dict():
            faults = [fault for field in value for fault in _fault((field,), str(field))]
        case _:
            faults = []
    if faults:
        raise ValidationError.from_exception_data("constraint", faults)
    return value


def _fault(place: tuple[Any, ...], name: str) -> Iterator[InitErrorDetails]:
    plain = name.lower().replace("_", "").replace("-", "")
    refused = _REFUSED.get(plain.removeprefix("requires").removeprefix("required"))
    if refused is not None:
        message = PydanticCustomError(
            "mobile_constraint",
            "{name} is a constraint of mobile devices: {why}; {instead}",
            {"name": repr(name[:60]), "why": refused[0], "instead": refused[1]},
        )
        yield InitErrorDetails(type=message, loc=place, input=name)
