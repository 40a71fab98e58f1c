"""The head of the screen: where and when this is, and how the service is."""

from datetime import datetime
from typing import Final

from rich.text import Text

from rota.cli.escaping import printable
from rota.cli.remote.text.values import plural
from rota.cli.remote.top.seen import Seen, Subject
from rota.cli.remote.top.snapshot import Snapshot
from rota.cli.remote.top.spans import span

#: Seconds after which an answer that has not come is said to be missing.
_LONG: Final = 5.0


def head(subject: Subject, seen: Seen, width: int | None, now: datetime) -> list[Text]:
    """Return two lines, and an empty one."""
    lines = [_apart(_place(subject), _clock(subject, now), width), condition(seen, now), Text()]
    for line in lines:
        if width is not None:
            line.truncate(width, overflow="ellipsis")
    return lines


def is_out_of_date(seen: Seen, now: datetime) -> bool:
    """Return whether the service does not answer, so that what is shown may no longer be so."""
    waited = 0.0 if seen.asked_at is None else (now - seen.asked_at).total_seconds()
    return seen.error is not None or waited >= _LONG


def condition(seen: Seen, now: datetime) -> Text:
    """Return how the service is; if it does not answer, why, and how old what is shown is."""
    if is_out_of_date(seen, now):
        error = seen.error or "The service has not answered yet."
        return Text(f"{_age(seen.snapshot, now)}{printable(error)}", style="bold red")
    return (
        Text("Asking the service …", style="dim")
        if seen.snapshot is None
        else _readiness(seen.snapshot)
    )


def _place(subject: Subject) -> Text:
    place = " ".join([subject.url, *(f"tag={each}" for each in subject.tags)])
    return Text("rota top ", style="bold").append(printable(place), style="not bold")


def _clock(subject: Subject, now: datetime) -> Text:
    keys = "" if subject.interval is None else f"every {subject.interval:g}s, q ends  "
    return Text(f"{keys}{now.astimezone():%H:%M:%S}", style="dim")


def _apart(left: Text, right: Text, width: int | None) -> Text:
    """Return two texts in a line, the second at its end; if there is no room for both, the first is cut."""
    if width is not None:
        left.truncate(max(width - right.cell_len - 2, 0), overflow="ellipsis", pad=True)
    return left.append("  ").append_text(right)


def _age(snapshot: Snapshot | None, now: datetime) -> str:
    return "" if snapshot is None else f"As of {span((now - snapshot.at).total_seconds())} ago: "


def _readiness(snapshot: Snapshot) -> Text:
    if snapshot.ready["status"] != "ok":
        return Text(f"NOT READY: {printable(str(snapshot.ready.get('detail')))}", style="bold red")
    line = Text("ready", style="green")
    replicas = snapshot.lists["replicas"]
    if replicas is not None:
        live = sum(1 for each in replicas["items"] if each["live"])
        line.append(f", {plural(live, 'replica')}", style="not green")
    return line
