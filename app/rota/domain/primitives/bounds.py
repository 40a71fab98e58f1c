"""Fields of which one bounds another: a default gives way to a given value.

If both were given and contradict each other, that is a fault of both.
"""

from collections.abc import Mapping
from datetime import timedelta
from typing import Any

from pydantic import BaseModel, ValidationError, ValidationInfo
from pydantic_core import InitErrorDetails, PydanticCustomError

from rota.domain.primitives.times.durations import MAX_DURATION, parse_duration, to_seconds

# The context in which a definition is validated that comes from the database.
STORED = "stored"

DEFAULT_TIMEOUT = timedelta(seconds=300)
DEFAULT_CALL_TIMEOUT = timedelta(seconds=30)
DEFAULT_INITIAL_INTERVAL = timedelta(seconds=10)
DEFAULT_MAX_INTERVAL = timedelta(hours=1)
DEFAULT_KEPT_RUNS = 100
MOST_KEPT_RUNS = 100_000
DEFAULT_KEPT_AGE = timedelta(days=30)


def is_stored(info: ValidationInfo) -> bool:
    """Return whether a definition comes from the database: it was checked before, and is kept as it is."""
    return bool(info.context == STORED)


def settle(model: BaseModel, **fields: Any) -> None:
    """Give fields of a model that is being validated the values that follow from the others."""
    model.__dict__.update(fields)  # the model is frozen otherwise


def contradiction(
    smaller: tuple[str, ...], larger: tuple[str, ...], values: tuple[timedelta, timedelta]
) -> ValidationError:
    """Return the fault of two fields, both given, of which the first must not be more than the other."""
    names = ".".join(smaller), ".".join(larger)
    seconds = [to_seconds(value) for value in values]
    message = (
        f"'{names[0]}' ({seconds[0]} s) is more than '{names[1]}' ({seconds[1]} s), which bounds it: "
        f"give '{names[1]}' at least as much, or leave it out"
    )
    faults: list[InitErrorDetails] = [
        {
            "type": PydanticCustomError("contradiction", "{message}", {"message": message}),
            "loc": place,
            "input": None,
        }
        for place in (smaller, larger)
    ]
    return ValidationError.from_exception_data("contradiction", faults)


def without_defaults(shown: Mapping[str, Any], patch: Mapping[str, Any]) -> dict[str, Any]:
    """Return a shown definition without the defaults that give way to fields of a merge patch.

    The shown definition does not distinguish defaults from given values; a value equal to its default counts as one.
    """
    left = dict(shown)
    for name, leaves_out in (("retry", _of_retry), ("retention", _of_retention)):
        if isinstance(patch.get(name), Mapping):
            out = leaves_out(shown[name], patch[name])
            left[name] = {key: value for key, value in shown[name].items() if key not in out}
    target = patch.get("target")
    target = target if isinstance(target, Mapping) else {}
    call = target.get("timeout")
    if shown.get("target") is None or (call is not None and "timeout" in patch):
        return left
    if "timeout" in patch or (target.get("async") is True and call is None):
        if shown["target"]["timeout"] in _default_calls(shown):
            kept = {key: value for key, value in shown["target"].items() if key != "timeout"}
            left["target"] = kept
    elif _is_more(call, shown["timeout"]) and shown["timeout"] in {
        to_seconds(DEFAULT_TIMEOUT),
        shown["target"]["timeout"],
    }:
        del left["timeout"]
    return left


def _default_calls(shown: Mapping[str, Any]) -> set[float]:
    """Return what the timeout of a call is by default, beside the one of its task."""
    usual, attempt = to_seconds(DEFAULT_CALL_TIMEOUT), shown["timeout"]
    return {min(usual, attempt)} if shown["target"].get("async") else {usual, attempt}


def _of_retry(shown: Mapping[str, Any], patch: Mapping[str, Any]) -> set[str]:
    first, most = shown["initial_interval"], shown["max_interval"]
    if "max_interval" not in patch and most == max(to_seconds(DEFAULT_MAX_INTERVAL), first):
        return {"max_interval"}
    by_default = first == min(to_seconds(DEFAULT_INITIAL_INTERVAL), most)
    if "initial_interval" not in patch and by_default and _is_less(patch["max_interval"], first):
        return {"initial_interval"}
    return set()


def _of_retention(shown: Mapping[str, Any], patch: Mapping[str, Any]) -> set[str]:
    ages = {to_seconds(DEFAULT_KEPT_AGE), to_seconds(MAX_DURATION)}
    out = set()
    if "age" not in patch and shown["age"] in ages:
        out.add("age")
    if "runs" not in patch and shown["runs"] in {DEFAULT_KEPT_RUNS, MOST_KEPT_RUNS}:
        out.add("runs")
    return out


def _is_more(given: Any, than: float) -> bool:
    seconds = _seconds(given)
    return seconds is not None and seconds > than


def _is_less(given: Any, than: float) -> bool:
    seconds = _seconds(given)
    return seconds is not None and seconds < than


def _seconds(given: Any) -> float | None:
    """Return a duration that was given; None for what is none, which is a fault of its own."""
    try:
        return to_seconds(parse_duration(given))
    except PydanticCustomError:
        return None
