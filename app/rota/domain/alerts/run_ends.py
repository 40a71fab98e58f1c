"""Which alerts the end of a run raises or ends. Pure."""

from collections.abc import Collection, Iterator, Sequence
from typing import NamedTuple

from rota.domain.alerts.defaults import Rules
from rota.domain.alerts.rules import AlertKind, FailureRate
from rota.domain.primitives.value_class import value_class
from rota.domain.reasons import SkipReason

#: Skips that somebody wanted: a rule has to name them.
INTENDED = frozenset(
    {
        SkipReason.PAUSED,
        SkipReason.HELD,
        SkipReason.EXCLUDED,
        SkipReason.DST_GAP,
        SkipReason.PREDECESSOR,
    }
)


@value_class(kw_only=True)
class EndOfRun:
    """How a run has ended, and how many runs of its task have failed in a row with it."""

    status: str
    reason: str | None = None
    failures: int = 0


class Change(NamedTuple):
    """An alert of a kind is to be raised, or has ended."""

    kind: AlertKind
    raised: bool


def changes(rules: Rules, raised: Collection[AlertKind], end: EndOfRun) -> list[Change]:
    """Return what the end of a run changes, apart from a failure rate; `raised` are the alerts that are raised.

    A cancelled run is no evidence of anything.
    """
    made = [
        Change(kind, now)
        for kind, now in _conditions(rules, end)
        if now != (kind in raised)  # an edge, and no other end of the same kind
    ]
    if end.status == "succeeded" and rules.of(AlertKind.SUCCESS) is not None:
        made.append(Change(AlertKind.SUCCESS, raised=True))
    return made


def _conditions(rules: Rules, end: EndOfRun) -> Iterator[Change]:
    if end.status == "succeeded":
        for kind in (AlertKind.FAILURES, AlertKind.NO_SUCCESS, AlertKind.NO_PING):
            yield Change(kind, raised=False)
    if end.status in {"succeeded", "failed"}:
        yield Change(AlertKind.SKIPPED, raised=False)
    if end.status == "failed" and _has_failed_enough(rules, end.failures):
        yield Change(AlertKind.FAILURES, raised=True)
    if end.status == "skipped" and is_alerted_on(rules, end.reason):
        yield Change(AlertKind.SKIPPED, raised=True)


def _has_failed_enough(rules: Rules, failures: int) -> bool:
    after = None if rules.on_failure is None else rules.on_failure.after
    return after is not None and failures >= after


def is_alerted_on(rules: Rules, reason: str | None) -> bool:
    """Return whether skipped runs with this reason are alerted on."""
    rule = rules.on_skipped
    if rule is None:
        return False
    if rule.reasons is None:
        return reason not in INTENDED
    return reason in rule.reasons


def rate_change(
    rate: FailureRate, latest: Sequence[bool], *, raised: bool
) -> tuple[bool, int] | None:
    """Return whether a failure rate is raised or ends now, and how many runs failed; None: it stays as it is.

    `latest`: of the latest runs that succeeded or failed, at most `rate.of`, whether each failed. A raised one ends
    when at most half as many have failed: a task that flaps about the limit notifies once, not at each run.
    """
    failed = sum(latest)
    if not raised:
        return (True, failed) if failed >= rate.failed else None
    return (False, failed) if 2 * failed <= rate.failed else None
