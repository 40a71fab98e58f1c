"""What explanations say of alerts: how often a task is to be heard of, and what is raised."""

from collections.abc import Iterator

from rota.domain.alerts.rules import AlertKind
from rota.domain.explain.model import Facts
from rota.domain.primitives.texts.english import and_list, duration, every
from rota.domain.primitives.times.instants import format_instant

_MEANINGS = {
    AlertKind.FAILURES: "runs fail",
    AlertKind.FAILURE_RATE: "too many of the latest runs failed",
    AlertKind.NO_SUCCESS: "no run succeeds",
    AlertKind.NO_PING: "it is not heard of",
    AlertKind.SUCCESS: "runs succeed",
    AlertKind.SKIPPED: "fire times are skipped",
    AlertKind.LATE: "runs start late",
}
assert _MEANINGS.keys() == set(AlertKind)


def expected_and_raised(facts: Facts) -> Iterator[str]:
    """Return sentences on how often the task is expected to be heard of, and on the alerts that are raised."""
    if facts.task.definition.expect_every is not None:
        yield _expected(facts)
    if facts.raised:
        each = [
            f"{_MEANINGS[kind]} ({kind}) since {format_instant(at)}" for kind, at in facts.raised
        ]
        yield f"{'An alert is' if len(each) == 1 else 'Alerts are'} raised: {and_list(each)}."


def _expected(facts: Facts) -> str:
    within, last = facts.task.definition.expect_every, facts.heard_at
    assert within is not None
    often = f"A success or a ping is expected {every(within)}"
    if last is None:
        return f"{often}: there was none yet."
    overdue = facts.now - last - within
    if overdue.total_seconds() < 1:
        return f"{often}: the last was at {format_instant(last)}."
    return (
        f"{often}: the last was at {format_instant(last)}, so one is {duration(overdue)} overdue."
    )
