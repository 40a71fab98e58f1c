"""Reads the sentences that describe schedules, as a person would, and computes the fire times that they promise.

Written from the sentences alone, without any code of the service: what it cannot read is an error, and where it reads
something else than what fires, a sentence is wrong or ambiguous.
"""

import re
from bisect import bisect_left, bisect_right
from calendar import monthrange
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, time, timedelta
from zoneinfo import ZoneInfo, available_timezones

DAY = timedelta(days=1)
TICK = timedelta(milliseconds=1)
ZERO = timedelta()

MONTHS = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
]
WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"]
NTH = {"first": 1, "second": 2, "third": 3, "fourth": 4, "fifth": 5, "last": -1}
UNITS = {
    "day": DAY,
    "hour": timedelta(hours=1),
    "minute": timedelta(minutes=1),
    "second": timedelta(seconds=1),
    "millisecond": TICK,
}

ANY_MONTH, ANY_WEEKDAY = "|".join(MONTHS), "|".join(WEEKDAYS)
CLOCK = r"\d\d:\d\d(?::\d\d(?:\.\d\d\d)?)?"
DATE = rf"\d+ (?:{ANY_MONTH}) \d{{4}}"
MOMENT = rf"{DATE} at {CLOCK} UTC"
LENGTH = r"(?:[\d,.]+ )?(?:day|hour|minute|second|millisecond)s?"
LENGTHS = rf"{LENGTH}(?:(?:, | and ){LENGTH})*"
COMMA = r"(?:, | and )"
EXCLUSION = (
    rf"(?:from {MOMENT} until {MOMENT}|(?:on {DATE}|from {DATE} to {DATE})(?! at)(?: \(UTC\))?)"
)

ENDS = ["succeeded", "failed", "been cancelled", "been skipped"]

#: Whether a rule fires on a date.
Days = Callable[[date], bool]


@dataclass
class Reading:
    """What a sentence promises: fire times, before any delay, of a task registered at some time."""

    #: From the registration, and the bounds between which times are wanted, both included.
    promised: Callable[[datetime, datetime, datetime], Iterator[datetime]]
    zone: str | None = None
    #: How long before the end of each period an interval may fire.
    flex: timedelta | None = None
    start: datetime | None = None
    end: datetime | None = None
    delay: timedelta | None = None
    most: int | None = None
    excluded: list[tuple[datetime | date, datetime | date]] = field(default_factory=list)
    #: The tasks that it comes after, and the ends that they have to have.
    tasks: tuple[str, ...] = ()
    ends: tuple[str, ...] = ()
    #: How many exclusions there are, if they are only counted.
    counted: int = 0
    #: How long after the end of a run the next one comes.
    rest: timedelta | None = None
    gap: str | None = None
    fold: str | None = None
    members: list["Reading"] = field(default_factory=list)

    def fires(self, registered: datetime, low: datetime, high: datetime) -> set[datetime]:
        """Return the fire times between two instants, both included."""
        low, high = max(low, self.start or low), min(high, self.end or high)
        promised = self.promised(registered, low, high) if low <= high else ()
        return {at for at in promised if low <= at <= high and not self._excludes(at)}

    def _excludes(self, at: datetime) -> bool:
        return any(self._holds(at, *span) for span in self.excluded)

    def _holds(self, at: datetime, first: datetime | date, last: datetime | date) -> bool:
        if isinstance(first, datetime) and isinstance(last, datetime):
            return first <= at < last
        return first <= at.astimezone(ZoneInfo(self.zone or "UTC")).date() <= last


class Text:
    """A sentence, read from left to right."""

    def __init__(self, text: str) -> None:
        self.rest = text

    def take(self, pattern: str) -> re.Match[str] | None:
        found = re.match(pattern, self.rest)
        if found is not None:
            self.rest = self.rest[found.end() :]
        return found

    def need(self, pattern: str) -> re.Match[str]:
        found = self.take(pattern)
        assert found is not None, f"cannot read {self.rest!r} (wanted {pattern})"
        return found

    def ended(self) -> None:
        assert not self.rest, f"cannot read {self.rest!r}"


def read_sentence(sentence: str) -> Reading:
    """Return what a sentence promises."""
    first, *others = (sentence[0].lower() + sentence[1:]).split("; ")
    limits = others.pop() if others and others[-1].startswith("all of it ") else None
    if limits is None and not others:
        return read_after(first) if first.startswith("after ") else read_rule(first)
    members = [read_rule(first), *(read_rule(each.removeprefix("and also ")) for each in others)]

    def promised(registered: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        for member in members:
            yield from member.fires(registered, low, high)

    whole = Reading(promised, members=members)
    if limits is not None:
        text = Text(limits.replace("all of it ", ", ", 1))
        read_limits(text, whole)
    return whole


def read_rule(sentence: str) -> Reading:
    text = Text(sentence)
    if sentence.startswith("once"):
        reading = read_once(text)
    elif re.match(rf"every {LENGTHS}, (?:counted|starting|at some point)", sentence):
        reading = read_interval(text)
    elif re.match(rf"{LENGTHS} after the end of each run", sentence):
        reading = read_fixed_delay(text)
    else:
        zones = [part for part in sentence.split(", ") if part in available_timezones()]
        assert zones, f"cannot read {sentence!r} (wanted a zone)"
        zone = zones[0]
        when, _, text.rest = sentence.partition(f", {zone}")
        reading = Reading(local_rule(when, zone), zone)
    read_limits(text, reading)
    if reading.zone is not None:
        reading.promised = _promised(reading)
    return reading


def read_after(sentence: str) -> Reading:
    text = Text(sentence)
    names, ends = r"[\w.-]+", "|".join(ENDS)
    found = text.need(
        rf"after ({names}(?:{COMMA}{names})*) (?:has|have) ((?:{ends})(?:(?:, | or )(?:{ends}))*)"
    )
    tasks = tuple(re.split(COMMA, found[1]))
    on = tuple(each.removeprefix("been ") for each in re.findall(ends, found[2]))
    reading = Reading(lambda *_: iter(()), tasks=tasks, ends=on)
    read_limits(text, reading)
    return reading


def read_limits(text: Text, reading: Reading) -> None:
    if found := text.take(rf", (?:from|not before) ({MOMENT})"):
        reading.start = moment(found[1])
    if found := text.take(rf", until ({MOMENT})"):
        reading.end = moment(found[1])
    if found := text.take(r", at most ([\d,]+) runs?(?: in total)?"):
        reading.most = int(found[1].replace(",", ""))
    if found := text.take(rf", (?:each )?delayed by less than ({LENGTHS})"):
        reading.delay = length(found[1])
    if found := text.take(rf", except ({EXCLUSION}(?:{COMMA}{EXCLUSION})*)"):
        reading.excluded = [span(each) for each in re.findall(EXCLUSION, found[1])]
    elif found := text.take(r", except on (\d+) dates and spans of time"):
        reading.counted = int(found[1])
    read_changes(text, reading)
    text.ended()


def read_changes(text: Text, reading: Reading) -> None:
    if found := text.take(
        r", (skipped|run right after the change) when the clocks go forward over it"
    ):
        reading.gap = "skip" if found[1] == "skipped" else "shift"
    if found := text.take(r", run (twice|only once) when the clocks go back over it"):
        reading.fold = "both" if found[1] == "twice" else "first"


# ---------------------------------------------------------------------------------------------------- times and lengths
def moment(text: str) -> datetime:
    day, clock = text.removesuffix(" UTC").split(" at ")
    return datetime.combine(named_date(day), time.fromisoformat(clock), UTC)


def named_date(text: str) -> date:
    day, month, year = text.split()
    return date(int(year), MONTHS.index(month) + 1, int(day))


def length(text: str) -> timedelta:
    found = ZERO
    for part in re.findall(LENGTH, text):
        number, _, unit = part.rpartition(" ")
        found += float(number.replace(",", "") or 1) * UNITS[unit.removesuffix("s")]
    return found


def span(text: str) -> tuple[datetime | date, datetime | date]:
    if " until " in text:
        first, last = re.findall(MOMENT, text)
        return moment(first), moment(last)
    days = [named_date(each) for each in re.findall(DATE, text)]
    return days[0], days[-1]


def clock(text: str) -> int:
    parts = [int(part) for part in text.split(":")]
    hour, minute, second = (*parts, 0)[:3]
    return hour * 3600 + minute * 60 + second


def clocks(text: Text) -> list[int]:
    """Read a list of times of day."""
    found = text.need(rf"{CLOCK}(?:{COMMA}{CLOCK})*")
    return [clock(each) for each in re.findall(CLOCK, found[0])]


def numbers(text: Text) -> set[int]:
    """Read a list of numbers and of spans of them."""
    found = text.need(rf"\d+(?: to \d+)?(?:{COMMA}\d+(?: to \d+)?)*")
    values: set[int] = set()
    for first, last in re.findall(r"(\d+)(?: to (\d+))?", found[0]):
        values.update(range(int(first), int(last or first) + 1))
    return values


# ------------------------------------------------------------------------------------------------------ times of a day
def times_of_day(text: Text) -> set[int]:
    """Read at which seconds of a day something happens."""
    if text.take(r"at (?=\d\d:)"):
        return set(clocks(text))
    if text.take(r"at minutes? "):
        return in_hours(text, {60 * minute for minute in numbers(text)})
    if text.take(r"at seconds? "):
        return in_minutes(text, numbers(text))
    rate = text.need(rf"every ({LENGTH})")[1]
    step = int(length(rate).total_seconds())
    if text.take(r" (?=from \d\d:)"):
        return spans(text, step)
    if "hour" in rate:
        return set(range(0, 86_400, step))
    size, low, high = (60, 0, 59) if "minute" in rate else (1, 0, 59)
    if found := text.take(r" from (?:minute|second) (\d+) to (?:minute|second) (\d+)"):
        low, high = int(found[1]), int(found[2])
    values = set(range(size * low, size * high + 1, step))
    return in_hours(text, values) if "minute" in rate else in_minutes(text, values)


def spans(text: Text, step: int) -> set[int]:
    found: set[int] = set()
    while ends := text.take(rf"{COMMA}?from ({CLOCK}) to ({CLOCK})"):
        found.update(range(clock(ends[1]), clock(ends[2]) + 1, step))
    if text.take(r", and at (?=\d\d:)"):
        found.update(clocks(text))
    return found


def in_minutes(text: Text, seconds: set[int]) -> set[int]:
    minutes = set(range(60))
    if text.take(r" (?:of|in) minutes? (?=\d)"):
        minutes = numbers(text)
    elif found := text.take(r" (?:of|in) every (\d+)\w\w minute from minute (\d+) to minute (\d+)"):
        step, first, last = (int(each) for each in found.groups())
        minutes = set(range(first, last + 1, step))
    else:
        text.take(r" of every minute")
    return in_hours(text, {60 * minute + second for minute in minutes for second in seconds})


def in_hours(text: Text, of_hour: set[int]) -> set[int]:
    every = {3600 * hour + each for hour in range(24) for each in of_hour}
    if ends := text.take(rf" of every (?:(\d+)\w\w )?hour from ({CLOCK}) to ({CLOCK})"):
        first, last = clock(ends[2]), clock(ends[3])
        hours = range(first // 3600, last // 3600 + 1, int(ends[1] or 1))
        assert {first, last} <= every
        assert last // 3600 in hours
        return {each for each in every if first <= each <= last and each // 3600 in hours}
    if text.take(r" (?:of|in) the hours? beginning at "):
        return {begin + each for begin in clocks(text) for each in of_hour}
    text.take(r" of every hour")
    return every


# --------------------------------------------------------------------------------------------------------------- days
def days(text: Text) -> Days:
    """Read on which days something happens."""
    found: Days = lambda _: True  # noqa: E731
    text.take(r" every day")
    if text.take(rf", (?=(?:{POINT}) to )"):  # "from" is left out where the times have one
        text.rest = f" from {text.rest}"
    if text.take(rf",? (?=(?:on|from) (?:{ITEM}))"):
        found = listed_days(text)
        if text.take(r" and also "):
            found = _either(found, listed_days(text))
        elif text.take(r", but only "):
            found = _both(found, listed_days(text))
    if text.take(rf",? (?=(?:in|from) (?:{ANY_MONTH}))"):
        found = _both(found, in_months(placed(text, "in", ANY_MONTH)))
    return found


def _either(one: Days, other: Days) -> Days:
    return lambda day: one(day) or other(day)


def _both(one: Days, other: Days) -> Days:
    return lambda day: one(day) and other(day)


POINT = rf"the \d+\w\w|(?:{ANY_WEEKDAY})|(?:{ANY_MONTH})"
WHICH = "|".join(NTH)
ITEM = (
    r"(?:odd|even) days|every \d+\w\w day from the \d+\w\w to the \d+\w\w|the \d+\w\w"
    r"|the last day|the last working day \(Monday to Friday\)"
    rf"|the (?:{WHICH})(?:{COMMA}(?:{WHICH}))* (?:{ANY_WEEKDAY})|(?:{ANY_WEEKDAY})"
)


def placed(text: Text, word: str, item: str) -> list[str]:
    """Read a list such as `on the 1st and the 2nd, from the 4th to the 8th, and on the 10th`."""
    found: list[str] = []
    while True:
        if text.take("from "):
            found.append(text.need(rf"(?:{POINT}) to (?:{POINT})")[0])
        else:
            listed = text.need(rf"{word} (?:{item})(?:{COMMA}(?:{item}))*")[0]
            found.extend(re.findall(item, listed.removeprefix(word)))
        if not text.take(rf"(?:, and |, | and )(?=(?:{word}|from) (?:{item}))"):
            return found


def listed_days(text: Text) -> Days:
    items = [a_day(each) for each in placed(text, "on", ITEM)]
    any_of: Days = lambda day: any(item(day) for item in items)  # noqa: E731
    if not text.take(r" of the month") and (
        found := text.take(rf" of ((?:{ANY_MONTH})(?:{COMMA}(?:{ANY_MONTH}))*)")
    ):
        return _both(any_of, in_months(re.findall(ANY_MONTH, found[1])))
    return any_of


def a_day(item: str) -> Days:
    if item in {"odd days", "even days"}:
        return lambda day: day.day % 2 == (item == "odd days")
    if item == "the last day":
        return lambda day: (day + DAY).month != day.month
    if "working day" in item:
        return _last_working_day
    if found := re.fullmatch(rf"the ((?:{WHICH})(?:{COMMA}(?:{WHICH}))*) ({ANY_WEEKDAY})", item):
        numbers = {NTH[each] for each in re.findall(WHICH, found[1])}
        return nth_weekday(numbers, WEEKDAYS.index(found[2]))
    if names := re.findall(ANY_WEEKDAY, item):
        wanted = round_from(WEEKDAYS.index(names[0]), WEEKDAYS.index(names[-1]), 7)
        return lambda day: day.weekday() in wanted
    step, first, last = day_numbers(item)
    return lambda day: day.day in range(first, last + 1, step)


def round_from(first: int, last: int, size: int) -> set[int]:
    """Return the numbers from one to the other, beyond the greatest if need be."""
    return {number % size for number in range(first, last + 1 + size * (last < first))}


def day_numbers(item: str) -> tuple[int, int, int]:
    found = [int(each) for each in re.findall(r"\d+", item)]
    if item.startswith("every"):
        return found[0], found[1], found[2]
    return 1, found[0], found[-1]


def _last_working_day(day: date) -> bool:
    rest = range(day.day + 1, monthrange(day.year, day.month)[1] + 1)
    return day.weekday() < 5 and all(day.replace(day=each).weekday() > 4 for each in rest)


def nth_weekday(wanted: set[int], weekday: int) -> Days:
    return lambda day: (
        day.weekday() == weekday
        and (
            (day.day - 1) // 7 + 1 in wanted
            or (-1 in wanted and (day + 7 * DAY).month != day.month)
        )
    )


def in_months(items: list[str]) -> Days:
    months: set[int] = set()
    for names in (each.split(" to ") for each in items):
        months |= round_from(MONTHS.index(names[0]), MONTHS.index(names[-1]), 12)
    return lambda day: day.month - 1 in months


# ------------------------------------------------------------------------------------- rules on the clock on the wall
Local = Callable[[datetime, datetime, datetime], Iterator[datetime]]
CALENDAR = re.compile(
    rf"at ({CLOCK}) (?:every (?:day|(?P<number>\d+) days)|(?P<days>(?:on|from) .+?) of every "
    r"(?:(?P<step>[\d,]+)\w\w )?(?P<unit>week|month|year))(?:, counted from (?P<phase>.+?))?"
    r"(?:, (?P<missing>skipping|moving) .+? in (?:month|year)s without (?:it|them))?"
)


def local_rule(when: str, zone: str) -> Local:
    """Read a rule; it is given a registration and local bounds, and has local times."""
    if found := CALENDAR.fullmatch(when):
        return calendar_rule(found, zone)
    text = Text(when)
    at, fits = sorted(times_of_day(text)), days(text)
    text.ended()

    def fires(_: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        for day in dates(low, high):
            if fits(day):
                first = bisect_left(at, (low - midnight(day)).total_seconds())
                last = bisect_right(at, (high - midnight(day)).total_seconds())
                yield from (midnight(day) + timedelta(seconds=each) for each in at[first:last])

    return fires


def dates(low: datetime, high: datetime) -> Iterator[date]:
    day = low.date()
    while day <= high.date():
        yield day
        day += DAY


def midnight(day: date) -> datetime:
    return datetime.combine(day, time())


def calendar_rule(found: re.Match[str], zone: str) -> Local:
    step = int((found["number"] or found["step"] or "1").replace(",", ""))
    unit = found["unit"] or "day"
    fits = in_period(found, unit)
    at = timedelta(seconds=clock(found[1]))

    def fires(registered: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        local = registered.astimezone(ZoneInfo(zone)).date()
        begin = phase(found["phase"], local) if found["phase"] else local
        origin = period(unit, begin)
        for day in dates(low, high):
            if fits(day) and (period(unit, day) - origin) % step == 0:
                yield midnight(day) + at

    return fires


def period(unit: str, day: date) -> int:
    if unit == "week":
        return (day.toordinal() - day.weekday()) // 7
    months = day.year * 12 + day.month
    return {"day": day.toordinal(), "month": months, "year": day.year}[unit]


def phase(text: str, registered: date) -> date:
    if text.endswith("of its registration"):
        return registered
    text = text.removeprefix("the week of ")
    if text.isdigit():
        return date(int(text), 1, 1)
    if text[0].isdigit():
        return named_date(text)
    return named_date(f"1 {text}")


def in_period(found: re.Match[str], unit: str) -> Days:
    """Return on which days of a period something happens."""
    moved = found["missing"] == "moving"
    if unit == "day" or found["days"] == "on every day":
        return lambda _: True
    if unit == "year":
        named = re.findall(rf"(\d+) ({ANY_MONTH})", found["days"])
        return days_of_year({(MONTHS.index(month) + 1, int(day)) for day, month in named}, moved)
    text = Text(found["days"])
    fits = listed_days(text)
    text.ended()
    for first, last in re.findall(rf"({ANY_WEEKDAY}) to ({ANY_WEEKDAY})", found["days"]):
        assert WEEKDAYS.index(first) < WEEKDAYS.index(last), f"{found['days']} is in two weeks"
    return with_moved(fits) if moved else fits


def days_of_year(wanted: set[tuple[int, int]], moved: bool) -> Days:
    leap = moved and (2, 29) in wanted
    return lambda day: (
        (day.month, day.day) in wanted
        or (leap and (day.month, day.day) == (2, 28) and day.year % 4 != 0)
    )


def with_moved(fits: Days) -> Days:
    """Return the days, with the last of a month in place of those that it does not have."""
    late = {day for day in range(29, 32) if fits(date(2024, 1, day))}
    return lambda day: fits(day) or ((day + DAY).month != day.month and day.day < max(late))


def _promised(reading: Reading) -> Local:
    """Turn local times into instants, as the sentence says for changes of the clocks."""
    local, place = reading.promised, ZoneInfo(reading.zone or "UTC")

    def promised(registered: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        about = ZERO if reading.zone == "UTC" else DAY
        bounds = [each.replace(tzinfo=None) for each in (low - about, high + about)]
        for at in local(registered, *bounds):
            yield from instants(at, place, reading)

    return promised


def instants(at: datetime, place: ZoneInfo, reading: Reading) -> Iterator[datetime]:
    first, second = (at.replace(tzinfo=place, fold=fold).astimezone(UTC) for fold in (0, 1))
    if first > second:  # the clocks never show it
        change = second.replace(second=0, microsecond=0)
        while change.astimezone(place).utcoffset() == second.astimezone(place).utcoffset():
            change += timedelta(minutes=1)
        if reading.gap != "skip":
            yield change
        return
    yield first
    if second != first and reading.fold == "both":
        yield second


# ------------------------------------------------------------------------------------------------- intervals and once
def read_interval(text: Text) -> Reading:
    every = length(text.need(rf"every ({LENGTHS})")[1])
    flex = None
    if found := text.take(rf", at some point in (?:the last ({LENGTHS}) of )?each period"):
        flex = length(found[1]) if found[1] else every
    begin, first = origin(text)

    def promised(registered: datetime, low: datetime, high: datetime) -> Iterator[datetime]:
        start = begin(registered)
        step = max(-((start - low) // every), first if flex is None else 1)
        while start + step * every <= high:
            yield start + step * every
            step += 1

    return Reading(promised, flex=flex)


def origin(text: Text) -> tuple[Callable[[datetime], datetime], int]:
    """Read what an interval is counted from, and whether it fires right there or one step later."""
    if text.take(r", starting "):
        return since(text), 0
    text.need(r", counted from ")
    if found := text.take(MOMENT):
        return lambda _: moment(found[0]), 0
    if text.take(r"its registration"):
        return lambda registered: registered, 1
    return since(text), 0


def read_fixed_delay(text: Text) -> Reading:
    """Read when it starts; what comes then depends on how long its runs take."""
    rest = length(text.need(rf"({LENGTHS}) after the end of each run, starting ")[1])
    if found := text.take(rf"a whole multiple of ({LENGTHS}) after ({MOMENT})"):
        every, begin = length(found[1]), moment(found[2])

        def promised(registered: datetime, *_: datetime) -> Iterator[datetime]:
            step = max(0, (registered - begin) // every + 1)
            while True:
                yield begin + step * every
                step += 1

        return Reading(promised, rest=rest)
    start = since(text)
    return Reading(lambda registered, *_: iter((start(registered),)), rest=rest)


def since(text: Text) -> Callable[[datetime], datetime]:
    if text.take("at its registration"):
        return lambda registered: registered
    delay = length(text.need(rf"({LENGTHS}) after its registration")[1])
    return lambda registered: registered + delay


def read_once(text: Text) -> Reading:
    text.need("once, ")
    if found := text.take(rf"on ({MOMENT})"):
        at = moment(found[1])
        return Reading(lambda *_: iter((at,)))
    if found := text.take(rf"on ({DATE}) at ({CLOCK}), ([\w/+-]+)"):
        local = datetime.combine(named_date(found[1]), time.fromisoformat(found[2]))
        return Reading(lambda *_: iter((local,)), found[3])
    begin = since(text)
    return Reading(lambda registered, *_: iter((begin(registered),)))
