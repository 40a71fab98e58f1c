"""Settings of which one bounds another: a default gives way to a given value; two given ones must not contradict."""

from typing import NamedTuple


class Bound(NamedTuple):
    """`more` must be at least `times` the setting `less`; `otherwise` says why; `least`: the minimum of `less`."""

    more: str
    less: str
    times: int
    otherwise: str
    least: float = 0


#: If only one of the two is set, the default of the other is adjusted.
BOUNDS = (
    Bound(
        "stale_after",
        "watchdog_interval",
        2,
        "an idle service would not be ready between two checks of the watchdog",
        least=0.1,
    ),
    Bound(
        "freeze_limit",
        "watchdog_interval",
        2,
        "a regular check of the watchdog would come too late",
        least=0.1,
    ),
    Bound(
        "max_kv_bytes",
        "max_value_bytes",
        1,
        "a value may be larger than the limit of its whole table",
    ),
    Bound(
        "max_result_bytes",
        "http_max_body_bytes",
        1,
        "a response may be too large to be the result of its run",
    ),
)


def _variable(name: str) -> str:
    return f"ROTA_{name.upper()}"


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:g}"


def contradiction(bound: Bound, more: float, less: float) -> str:
    """Return what is wrong with two given settings, and what would be right."""
    larger, smaller = _variable(bound.more), _variable(bound.less)
    times = "" if bound.times == 1 else f"{bound.times} times "
    return (
        f"{larger} ({_number(more)}) is less than {times}{smaller} ({_number(less)}): {bound.otherwise}. "
        f"Give {larger} at least {_number(bound.times * less)}, or {smaller} at most {_number(more / bound.times)}"
    )
