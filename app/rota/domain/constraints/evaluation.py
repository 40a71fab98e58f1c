"""Evaluation: which constraints of a task are not met, by given facts. Pure."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any, Final, Literal, assert_never

from rota.domain.constraints.definitions import Constraint, MaxLoad, MinFreeDisk, Reachable, Window
from rota.domain.constraints.descriptions import describe, size, subject
from rota.domain.constraints.kv import Kv
from rota.domain.constraints.windows import is_open, next_opening
from rota.domain.primitives.json.json_text import equal
from rota.domain.primitives.times.instants import format_instant
from rota.domain.reasons import WaitingOn
from rota.errors import Unplannable

#: Where a kv entry is: the name of its task, its key.
Place = tuple[str, str]
#: How the `waiting_on` of a constraint begins; its name follows.
PREFIX = f"{WaitingOn.CONSTRAINT}:"

#: The value of an entry that exists but cannot be decrypted.
UNREADABLE: Final = object()


@dataclass(frozen=True, slots=True)
class ConnectProbe:
    """A probe that takes time: does this port, or this URL, answer?"""

    host: str | None
    port: int | None
    url: str | None


@dataclass(frozen=True, slots=True)
class DiskProbe:
    """A probe that takes time: how many bytes are free on the disk of this path?"""

    path: str


Probe = ConnectProbe | DiskProbe


@dataclass(frozen=True, slots=True)
class ProbeResult:
    """The result of a probe: a fault as text, or None and, for a disk, its free bytes; `fresh`: not outdated."""

    fault: str | None = None
    free: int = 0
    fresh: bool = True


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintFacts:
    """The facts that constraints are evaluated with, at `now` (UTC)."""

    now: datetime
    #: The load average of one minute per processor; None: not measured, or not available on this system.
    load: float | None = None
    #: The entries that there are, of those that were looked for; bytes where they are no JSON.
    entries: Mapping[Place, Any] = field(default_factory=dict)
    results: Mapping[Probe, ProbeResult] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Unmet:
    """A constraint that keeps a run from starting; not `known`: it has not been checked yet."""

    constraint: Constraint
    # Formatted only when it is read: a round evaluates thousands of tasks.
    say: Callable[[], str] = field(compare=False)
    known: bool = True

    @property
    def message(self) -> str:
        """Why it is not met."""
        return self.say()

    @property
    def waiting_on(self) -> str:
        """What a run has for it in `waiting_on`."""
        return f"{PREFIX}{self.constraint.name}"


def unmet(constraints: Sequence[Constraint], task: str, facts: ConstraintFacts) -> list[Unmet]:
    """Return the constraints of `task` that are not met now, each with its message."""
    return [found for each in constraints if (found := _check(each, task, facts)) is not None]


def waits_for(constraints: Sequence[Constraint], task: str, facts: ConstraintFacts) -> list[Unmet]:
    """Return what a run of `task` waits for; constraints that need probes count only once all others are met."""
    return unmet(_quick(constraints), task, facts) or unmet(_slow(constraints), task, facts)


def needed_probes(
    constraints: Sequence[Constraint], task: str, facts: ConstraintFacts
) -> list[Probe]:
    """Return the probes that `waits_for` needs: none, as long as a run waits for other constraints."""
    slow = _slow(constraints)
    if not slow or unmet(_quick(constraints), task, facts):
        return []
    return [probe_of(each) for each in slow]


def probe_of(constraint: MinFreeDisk | Reachable) -> Probe:
    """Return the probe that a constraint needs."""
    if isinstance(constraint, MinFreeDisk):
        return DiskProbe(constraint.path)
    return ConnectProbe(constraint.host, constraint.port, constraint.url)


def places(constraints: Sequence[Constraint], task: str) -> list[Place]:
    """Return the kv entries that the constraints of `task` read."""
    return [_place(each, task) for each in constraints if isinstance(each, Kv)]


def waiting_on_of(found: Sequence[Unmet]) -> tuple[str, ...]:
    """Return the `waiting_on` of a run with these unmet constraints; empty until one is known."""
    return tuple(each.waiting_on for each in found if each.known)


def shortest_deadline(found: Sequence[Unmet]) -> timedelta | None:
    """Return the shortest deadline of the constraints that are known to be unmet; None: no deadline."""
    deadlines = (each.constraint.deadline for each in found if each.known)
    return min((each for each in deadlines if each is not None), default=None)


def next_change(constraint: Constraint, now: datetime) -> datetime | None:
    """Return when an unmet constraint is met by time alone; None: unknown."""
    if not isinstance(constraint, Window):
        return None
    try:
        return next_opening(constraint, now)
    except Unplannable:
        return None


def _quick(constraints: Sequence[Constraint]) -> list[Constraint]:
    return [each for each in constraints if not isinstance(each, (MinFreeDisk, Reachable))]


def _slow(constraints: Sequence[Constraint]) -> list[MinFreeDisk | Reachable]:
    return [each for each in constraints if isinstance(each, (MinFreeDisk, Reachable))]


def _check(constraint: Constraint, task: str, facts: ConstraintFacts) -> Unmet | None:
    match constraint:
        case Window():
            return _check_window(constraint, facts.now)
        case MaxLoad():
            return _check_load(constraint, facts.load)
        case Kv():
            return _check_entry(constraint, facts.entries.get(_place(constraint, task), _ABSENT))
        case MinFreeDisk() | Reachable():
            return _check_result(constraint, facts.results.get(probe_of(constraint)))
        case _:
            assert_never(constraint)


def _check_window(window: Window, now: datetime) -> Unmet | None:
    try:
        if is_open(window, now):
            return None
    except Unplannable as error:
        detail = error.detail
        return Unmet(window, lambda: detail)
    return Unmet(window, lambda: _say_shut(window, now))


def _say_shut(window: Window, now: datetime) -> str:
    opens = next_opening(window, now)
    when = "" if opens is None else f"; it opens at {format_instant(opens)}"
    return f"waits until {describe(window)}{when}"


def _check_load(limit: MaxLoad, load: float | None) -> Unmet | None:
    if load is None:
        return Unmet(limit, lambda: "the load of this machine is not known", known=False)
    if load <= limit.load:
        return None
    return Unmet(
        limit, lambda: f"the load is {load:.2f} per processor, and at most {limit.load} is wanted"
    )


def _check_entry(kv: Kv, value: Any) -> Unmet | None:
    if _holds(kv, value):
        return None
    return Unmet(kv, lambda: f"waits until {describe(kv)}; {_how_it_is(value)}")


def _how_it_is(value: Any) -> str:
    if value is UNREADABLE:
        return "it does not open with the keys in ROTA_ENCRYPTION_KEYS"
    return "there is none" if value is _ABSENT else "it is otherwise"


def _check_result(constraint: MinFreeDisk | Reachable, result: ProbeResult | None) -> Unmet | None:
    if result is None:
        return Unmet(
            constraint, lambda: f"it has not been checked yet whether {describe(constraint)}", False
        )
    if result.fault is not None:
        return Unmet(constraint, lambda: f"{subject(constraint)}: {result.fault}")
    if isinstance(constraint, MinFreeDisk) and result.free < constraint.bytes:
        return Unmet(
            constraint, lambda: f"waits until {describe(constraint)}; {size(result.free)} are"
        )
    if not result.fresh:
        return Unmet(
            constraint, lambda: f"it is to be checked again whether {describe(constraint)}", False
        )
    return None


_ABSENT = object()


def _holds(kv: Kv, value: Any) -> bool:
    name, wanted = kv.predicate
    match name:
        case "exists":
            return bool(wanted) == (value is not _ABSENT)
        case _ if value is UNREADABLE:
            return False
        case "equals":
            return equal(value, wanted)
        case "not_equals":
            return not equal(value, wanted)
        case "less_than" | "at_most" | "greater_than" | "at_least":
            return _comparable(value, wanted) and _compares(name, value, wanted)
        case _:
            assert_never(name)


def _compares(
    name: Literal["less_than", "at_most", "greater_than", "at_least"], value: Any, bound: Any
) -> bool:
    match name:
        case "less_than":
            return bool(value < bound)
        case "at_most":
            return bool(value <= bound)
        case "greater_than":
            return bool(value > bound)
        case "at_least":
            return bool(value >= bound)
        case _:
            assert_never(name)


def _comparable(value: Any, bound: Any) -> bool:
    if isinstance(value, bool):
        return False
    numbers = isinstance(value, (int, float)) and isinstance(bound, (int, float))
    return numbers or (isinstance(value, str) and isinstance(bound, str))


def _place(kv: Kv, task: str) -> Place:
    return kv.task or task, kv.key
