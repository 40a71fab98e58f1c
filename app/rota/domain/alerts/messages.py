"""Messages: what people read of an event, before it is written for Slack or as an e-mail.

An event is an input, and what it quotes comes from targets: each text is cut, and has no control characters.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, assert_never

from rota.domain.alerts.events import AlertEvent
from rota.domain.alerts.received_events import Event, document
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.texts.english import one_measure, plural

#: The most characters of a line, of a text of several lines, and of an address.
MOST_LINE = 300
MOST_TEXT = 2_000
MOST_LINK = 2_000

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+")
# But for line ends and tabs.
_CONTROLS_IN_TEXT = re.compile(
    r"[\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069\ud800-\udfff]+"
)
# The shortest time that is worth a line, in seconds; from a minute on in whole ones.
_SHOWN, _MINUTE = 1, 60
_LINKS = (("run", "Run"), ("logs", "Logs"), ("task", "Task"))
_WHEN = (
    ("scheduled_for", "Scheduled for"),
    ("started_at", "Started"),
    ("finished_at", "Ended"),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Message:
    """The message about an event, in parts.

    `title` is one line without the name of the service; `facts` are (label, value). `error` is that of the run, and
    `reply` what its target has answered. `links` are (label, address); without ROTA_PUBLIC_URL addresses are paths.
    """

    title: str
    summary: str = ""
    facts: tuple[tuple[str, str], ...] = ()
    error: str = ""
    reply: str = ""
    links: tuple[tuple[str, str], ...] = ()


#: What is sent if a notifier is run by hand.
TEST = Message(
    title="Test message",
    summary="This is a test: the task was run without an event. Alerts of tasks that name it arrive here.",
)


def message_of(event: Event) -> Message:
    """Return the message of an event, whatever is missing in it."""
    data = event.data
    return Message(
        title=_title(event),
        summary=in_text(data.get("message"), MOST_LINE * 2),
        facts=tuple(_facts(event)),
        error=_error(event.run),
        reply=_reply(event.run),
        links=tuple(_links(document(data.get("links")))),
    )


def message_of_runs(runs: Mapping[str, Any]) -> Message:
    """Return the message of the runs that a task came after (`after`), by the names of their tasks."""
    ends = [f"{in_line(name, 128)} {_ended_as(document(run))}" for name, run in runs.items()]
    shown = {in_line(name, 128): document(run) for name, run in runs.items()}
    broken = [run for run in shown.values() if run.get("error")]
    about = next(iter(broken), next(iter(shown.values()), {}))
    return Message(
        title=in_line(", ".join(ends), MOST_LINE),
        facts=tuple((name, line) for name, run in shown.items() if (line := _run_line(run))),
        error=_error(about),
        reply=_reply(about),
    )


def in_line(value: Any, most: int = MOST_LINE) -> str:
    """Return a value as text in one line, cut."""
    return _cut(_CONTROLS.sub(" ", _text(value)).strip(), most)


def in_text(value: Any, most: int = MOST_TEXT) -> str:
    """Return a value as text in lines, cut."""
    lines = _text(value).replace("\r\n", "\n").replace("\r", "\n")
    return _cut(_CONTROLS_IN_TEXT.sub(" ", lines).strip(), most)


def _title(event: Event) -> str:
    task = in_line(event.data.get("task"), 128) or "A task"
    known = event.known_type
    if known is None:
        return in_line(f"{task}: {in_line(event.type, 64)}")
    return f"{task} {_has_happened(known, event.data)}"


def _has_happened(type: AlertEvent, data: Mapping[str, Any]) -> str:
    match type:
        case AlertEvent.FAILING:
            return _is_failing(data)
        case AlertEvent.RECOVERED:
            return "has recovered"
        case AlertEvent.SUCCEEDED:
            return "has succeeded"
        case AlertEvent.SKIPPED:
            reason = in_line(document(data.get("run")).get("reason"), 64)
            return "was skipped" + (f" ({reason})" if reason else "")
        case AlertEvent.LATE:
            return "is late"
        case AlertEvent.ON_TIME:
            return "is on time again"
        case _:
            assert_never(type)


def _is_failing(data: Mapping[str, Any]) -> str:
    failures = data.get("consecutive_failures")
    match data.get("kind"):
        case AlertKind.NO_SUCCESS:
            return "has not succeeded in time"
        case AlertKind.NO_PING:
            return "was not heard from in time"
        case AlertKind.FAILURE_RATE:
            return "fails too often"
        case _ if isinstance(failures, int) and failures > 1:
            return f"is failing ({plural(failures, 'failure')} in a row)"
        case _:
            return "has failed"


def _facts(event: Event) -> Iterator[tuple[str, str]]:
    data, run = event.data, event.run
    given: list[tuple[str, Any]] = [
        ("Description", data.get("description")),
        ("Tags", _tags(data.get("tags"))),
        ("Run", _run_line(run)),
        *((label, _moment(run.get(field))) for field, label in _WHEN),
        ("Late by", _duration(run.get("lateness"))),
        ("Took", _duration(run.get("duration"))),
        ("Since", _moment(data.get("since"))),
        ("Failures in a row", data.get("consecutive_failures") or ""),
        ("Last success", _moment(data.get("last_success_at"))),
    ]
    yield from ((label, line) for label, value in given if (line := in_line(value)))


def _run_line(run: Mapping[str, Any]) -> str:
    """Return `019a…, attempt 3: failed (attempts_exhausted)`."""
    if not run:
        return ""
    attempt = run.get("attempt")
    count = f", attempt {attempt}" if isinstance(attempt, int) and attempt > 1 else ""
    return in_line(f"{in_line(run.get('id'), 64)}{count}: {_ended_as(run)}")


def _ended_as(run: Mapping[str, Any]) -> str:
    status, reason = in_line(run.get("status"), 64), in_line(run.get("reason"), 64)
    return (status or "has ended") + (f" ({reason})" if reason else "")


def _error(run: Mapping[str, Any]) -> str:
    error = document(run.get("error"))
    parts = (_text(error.get("type")), _text(error.get("message")))
    return in_text(": ".join(part for part in parts if part), MOST_TEXT // 2)


def _reply(run: Mapping[str, Any]) -> str:
    """Return the status, the path and the body of what the target has answered."""
    response = document(document(run.get("error")).get("response"))
    if not response:
        return ""
    head = f"{_text(response.get('status'))} {_text(response.get('url_path'))}".strip()
    body = _text(response.get("body"))
    cut = "…" if response.get("truncated") and body else ""
    return in_text("\n".join(part for part in (in_line(head), body + cut) if part))


def _links(links: Mapping[str, Any]) -> Iterator[tuple[str, str]]:
    for field, label in _LINKS:
        address = links.get(field)
        # A cut address leads nowhere.
        if isinstance(address, str) and 0 < len(address) <= MOST_LINK and address.isprintable():
            yield label, address


def _tags(tags: Any) -> str:
    return ", ".join(map(_text, tags)) if isinstance(tags, list) else ""


def _moment(value: Any) -> str:
    """Return an instant (`2026-11-29T02:07:12.481Z`) as it is read, to the second."""
    text = in_line(value, 64)
    return re.sub(r"^(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(\.\d+)?Z$", r"\1 \2 UTC", text)


def _duration(seconds: Any) -> str:
    if isinstance(seconds, bool) or not isinstance(seconds, int | float):
        return ""
    if not _SHOWN <= seconds < timedelta.max.total_seconds():
        return ""
    return one_measure(timedelta(seconds=round(seconds, 1 if seconds < _MINUTE else 0)))


def _text(value: Any) -> str:
    match value:
        case str():
            return value
        case bool() | None:
            return ""
        case int() | float():
            return str(value)
        case _:
            return ""


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "…"
