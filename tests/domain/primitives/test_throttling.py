"""Single lines while events are few, counts while they are many; each event is logged once."""

from collections import Counter

from hypothesis import given
from hypothesis import strategies as st

from rota.domain.primitives.throttling import MOST_LINES, SPAN, LineThrottle


class Recorder:
    """A throttle with the timer that its user sets, on a clock of its own."""

    def __init__(self) -> None:
        self.now = 100.0
        self.lines: list[float] = []
        self.counts: list[tuple[float, dict[str, int]]] = []
        self._throttle = LineThrottle()
        self._due: float | None = None

    def event(self, after: float, kind: str = "noop") -> None:
        self.go_on(after)
        if self._throttle.admit(kind, self.now):
            self.lines.append(self.now)
        elif self._due is None:
            self._due = self.now + self._throttle.due_in(self.now)

    def go_on(self, seconds: float) -> None:
        until = self.now + seconds
        if self._due is not None and self._due <= until:
            self.now, self._due = self._due, None
            self.counts.append((self.now, self._throttle.take(self.now)))
        self.now = until

    def at_a_steady(self, rate: float, seconds: float) -> None:
        for _ in range(round(rate * seconds)):
            self.event(1 / rate)


def test_few_events_are_logged_one_by_one() -> None:
    recorder = Recorder()
    recorder.at_a_steady(rate=MOST_LINES - 1, seconds=30)

    assert len(recorder.lines) == 30 * (MOST_LINES - 1)
    assert recorder.counts == []


def test_the_first_events_of_a_burst_are_logged_and_the_others_counted_by_kind() -> None:
    recorder = Recorder()
    for number in range(100):
        recorder.event(0.001, "even" if number % 2 == 0 else "odd")
    recorder.go_on(2)

    assert len(recorder.lines) == MOST_LINES
    assert [counts for _, counts in recorder.counts] == [{"even": 40, "odd": 40}]


def test_while_many_come_there_is_one_count_a_second_and_no_line() -> None:
    recorder = Recorder()
    recorder.at_a_steady(rate=2_000, seconds=10)
    recorder.go_on(2)

    assert len(recorder.lines) == MOST_LINES
    assert sum(sum(counts.values()) for _, counts in recorder.counts) == 20_000 - MOST_LINES
    between = [
        later - at
        for (at, _), (later, _) in zip(recorder.counts, recorder.counts[1:], strict=False)
    ]
    assert len(between) >= 9
    assert all(0.999 <= each <= 1.01 for each in between)


def test_single_lines_come_back_when_it_is_quiet_again() -> None:
    recorder = Recorder()
    recorder.at_a_steady(rate=500, seconds=3)
    recorder.go_on(5)
    recorder.event(0)
    assert recorder.lines[-1] == recorder.now

    recorder.at_a_steady(rate=500, seconds=3)
    recorder.at_a_steady(rate=4, seconds=5)
    assert recorder.lines[-4:] == sorted(recorder.lines[-4:])
    assert recorder.lines[-1] == recorder.now


_STEPS = st.lists(
    st.tuples(
        st.sampled_from([0.0, 0.001, 0.03, 0.2, 0.999, 1.0, 1.5, 60.0]), st.sampled_from("ab")
    ),
    max_size=300,
)


@given(_STEPS, st.integers(1, 60))
def test_every_event_is_logged_once_and_the_lines_are_bounded(
    steps: list[tuple[float, str]], times: int
) -> None:
    recorder = Recorder()
    for after, kind in steps:
        recorder.event(after, kind)
        for _ in range(times if after == 0 else 0):
            recorder.event(0, kind)
    events = len(steps) + sum(times for after, _ in steps if after == 0)
    recorder.go_on(2 * SPAN)

    counted: Counter[str] = Counter()
    for _, counts in recorder.counts:
        assert counts, "an empty count is reported"
        counted.update(counts)
    assert len(recorder.lines) + counted.total() == events
    for at in recorder.lines:
        # Two spans can meet in any second.
        assert sum(at <= other < at + SPAN for other in recorder.lines) <= 2 * MOST_LINES


def test_counts_are_logged_within_a_second() -> None:
    recorder = Recorder()
    for _ in range(MOST_LINES):
        recorder.event(0)
    recorder.event(0.75)
    began = recorder.now
    recorder.go_on(5)

    assert [at - began for at, _ in recorder.counts] == [0.25]
