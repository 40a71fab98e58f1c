"""The timeline of a run: where it waited, its attempts, and the phases of their calls."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from markupsafe import Markup

from rota.domain.http_target.phases import CallPhase
from rota.domain.primitives.times.instants import parse_instant
from rota.web.formats import duration

#: Attempts that are drawn: the latest ones.
MOST_DRAWN: Final = 30
_WIDTH, _ROW, _HEIGHT, _NARROWEST = 1_000, 22, 14, 3
_PHASE_WIDTH, _PHASE_HEIGHT = 240, 12
#: Runs whose fire time is that of an earlier run: they wait since they were made.
_REPEATS: Final = frozenset({"rerun", "backfill"})
_TONES: Final = {"succeeded": "good", "failed": "bad", "timed_out": "bad", "lost": "bad"}
_ORDER: Final = [each.value for each in CallPhase]


@dataclass(frozen=True, slots=True)
class Span:
    """A part of a run; `waited` is how long it waited before it, in seconds, `phases` are those of its call."""

    label: str
    outcome: str
    start: datetime
    end: datetime
    waited: float
    phases: Sequence[tuple[str, float]]
    attempt: Mapping[str, Any]

    @property
    def is_not_counted(self) -> bool:
        """Whether it has ended so that it does not count against the attempts that the policy allows."""
        ended = self.outcome not in {"running", "succeeded"}
        return ended and not self.attempt["counted"]

    @property
    def seconds(self) -> float:
        """How long it took."""
        return (self.end - self.start).total_seconds()


def begin_of(run: Mapping[str, Any]) -> datetime:
    """Return since when a run could have started."""
    repeats = run["trigger"] in _REPEATS
    return parse_instant(run["created_at"] if repeats else run["scheduled_for"])


def end_of(run: Mapping[str, Any], now: datetime) -> datetime:
    """Return when a run ended; now, while it goes on."""
    ended = run["finished_at"]
    return max(parse_instant(ended) if ended else now, begin_of(run))


def spans_of(run: Mapping[str, Any], now: datetime) -> list[Span]:
    """Return the attempts of a run, with what lies between them."""
    return list(_spans(run["attempts"], begin_of(run), now))


def _spans(attempts: Iterable[Mapping[str, Any]], begin: datetime, now: datetime) -> Iterator[Span]:
    free = begin
    for attempt in attempts:
        start = parse_instant(attempt["started_at"])
        ended = attempt["finished_at"]
        end = max(parse_instant(ended) if ended else now, start)
        waited = max((start - free).total_seconds(), 0.0)
        outcome = attempt["outcome"] or "running"
        phases = _phases(attempt["timings"] or {})
        label = f"Attempt {attempt['attempt']}"
        yield Span(label, outcome, start, end, waited, phases, attempt)
        free = end


def _phases(timings: Mapping[str, float]) -> list[tuple[str, float]]:
    known = [(name, timings[name]) for name in _ORDER if name in timings]
    return known + [(name, seconds) for name, seconds in timings.items() if name not in _ORDER]


def chart(run: Mapping[str, Any], spans: Sequence[Span], now: datetime) -> Markup:
    """Return the timeline as a picture: a row of where it waited, and a row for each attempt."""
    drawn = spans[-MOST_DRAWN:]
    begin = begin_of(run) if len(drawn) == len(spans) else drawn[0].start
    end = end_of(run, now)
    axis = _Axis(begin, max((end - begin).total_seconds(), 0.001))
    bars = [_wait(axis, each) for each in drawn if each.waited]
    if not spans or (run["finished_at"] is None and spans[-1].attempt["finished_at"]):
        since = spans[-1].end if spans else begin
        bars.append(axis.bar(0, since, end, "wait", "waits"))
    bars += [_bar(axis, row, each) for row, each in enumerate(drawn, 1)]
    return Markup(
        '<svg class="gantt" viewBox="0 0 {0} {1}" height="{1}" preserveAspectRatio="none" role="img" '
        'aria-label="{2}">{3}</svg>'
    ).format(_WIDTH, (len(drawn) + 1) * _ROW, _summary(spans), Markup("").join(bars))


def phase_bar(span: Span) -> Markup:
    """Return the phases of a call as one bar, on its own scale; the text beside it says the same."""
    whole = sum(seconds for _, seconds in span.phases) or 1.0
    parts, x = [], 0.0
    for name, seconds in span.phases:
        width = round(seconds / whole * _PHASE_WIDTH, 1)
        title = f"{name}: {duration(seconds)}"
        parts.append(
            Markup(
                '<rect class="phase phase-{}" x="{}" y="0" width="{}" height="{}"><title>{}</title></rect>'
            ).format(name, round(x, 1), width, _PHASE_HEIGHT, title)
        )
        x += width
    return Markup(
        '<svg class="phases" viewBox="0 0 {0} {1}" width="{0}" height="{1}" aria-hidden="true">{2}</svg>'
    ).format(_PHASE_WIDTH, _PHASE_HEIGHT, Markup("").join(parts))


@dataclass(frozen=True, slots=True)
class _Axis:
    begin: datetime
    seconds: float

    def bar(self, row: int, start: datetime, end: datetime, tone: str, title: str) -> Markup:
        """Return a bar, which is never too narrow to be seen and never beyond the end."""
        first, last = self._at(start), self._at(end)
        width = max(last - first, _NARROWEST)
        return Markup(
            '<rect class="{}" x="{}" y="{}" width="{}" height="{}"><title>{}</title></rect>'
        ).format(
            tone,
            round(min(first, _WIDTH - width), 1),
            row * _ROW + (_ROW - _HEIGHT) / 2,
            round(width, 1),
            _HEIGHT,
            title,
        )

    def _at(self, time: datetime) -> float:
        share = (time - self.begin).total_seconds() / self.seconds
        return min(max(share, 0.0), 1.0) * _WIDTH


def _wait(axis: _Axis, span: Span) -> Markup:
    start = span.start.timestamp() - span.waited
    since = datetime.fromtimestamp(start, span.start.tzinfo)
    title = f"waited {duration(span.waited)} for {span.label.lower()}"
    return axis.bar(0, since, span.start, "wait", title)


def _bar(axis: _Axis, row: int, span: Span) -> Markup:
    tone = _TONES.get(span.outcome, "busy" if span.outcome == "running" else "mute")
    title = f"{span.label}: {span.outcome}, {duration(span.seconds)}"
    return axis.bar(row, span.start, span.end, tone, title)


def _summary(spans: Sequence[Span]) -> str:
    if not spans:
        return "It waits, and has not started yet."
    parts = [
        f"waited {duration(each.waited)}, {each.label.lower()} {each.outcome} after {duration(each.seconds)}"
        for each in spans[-MOST_DRAWN:]
    ]
    return "; ".join(parts)
