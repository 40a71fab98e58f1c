"""The sections about the rest: what needs somebody, what is due next, queues."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from rich.text import Text

from rota.cli.remote.text.times import local
from rota.cli.remote.top.section import Column, Section, cell, unreadable
from rota.cli.remote.top.spans import LATE, ago, seconds_since, span

_Row = Mapping[str, Any]
_Page = Mapping[str, Any] | None


def attention(ready: _Row, alerts: _Page, holds: _Page, now: datetime) -> Section:
    """Return what needs somebody, or explains why nothing runs: warnings, raised alerts, holds that last."""
    columns = (Column("KIND"), Column("SINCE"), Column("DETAIL", may_shrink=True))
    active = [each for each in _items(holds) if each["status"] == "active"]
    rows = [
        *([cell("service"), cell("warning", "yellow"), cell(None), cell(each)] for each in ready.get("warnings") or ()),
        *(_alert(each, now) for each in _items(alerts)),
        *(_hold(each, now) for each in active),
    ]  # fmt: skip
    is_exact = not any(page and page["next_cursor"] for page in (alerts, holds))
    return Section("ATTENTION", columns, rows, len(rows), is_exact=is_exact)


def _alert(alert: _Row, now: datetime) -> list[Text]:
    kind = str(alert["kind"]).replace("_", " ")
    detail = None if alert["run"] is None else f"run {alert['run']}"
    return [
        cell(alert["task"]),
        cell(kind, "red"),
        cell(ago(alert["raised_at"], now)),
        cell(detail),
    ]


def _hold(hold: _Row, now: datetime) -> list[Text]:
    end = "until it is ended" if hold["until"] is None else f"ends {ago(hold['until'], now)}"
    detail = f"{end}: {hold['reason']}" if hold["reason"] else end
    return [cell(hold["name"]), cell("hold", "yellow"), cell(ago(hold["from"], now)), cell(detail)]


def upcoming(page: _Page, now: datetime) -> Section:
    """Return the next fire time of each task: all those of a task that fires often would hide the others."""
    columns = (Column("IN"), Column("AT"), Column("QUEUE", is_extra=True), Column("NOTE"))
    if page is None:
        return unreadable("DUE")
    nearest: dict[str, _Row] = {}
    for each in page["items"]:
        nearest.setdefault(each["task"], each)
    rows = [_coming(each, now) for each in nearest.values()]
    is_complete = page["complete_until"] >= page["until"]
    within = " IN 7D" if is_complete else f" UNTIL {_moment(page['complete_until'], now)[:-3]}"
    return Section("DUE", columns, rows, len(rows), within=within)


def _coming(run: _Row, now: datetime) -> list[Text]:
    return [
        cell(run["task"]),
        _distance(seconds_since(run["at"], now)),
        cell(_moment(run["at"], now)),
        cell(run["queue"], "dim"),
        cell("held" if run["held"] else "", "yellow"),
    ]


def _distance(seconds: float) -> Text:
    """Return in how long a fire time comes; one that has passed has come since the snapshot, or is fired late."""
    if seconds >= LATE:
        return cell(f"{span(seconds)} ago", "yellow")
    return cell("now" if seconds >= 0 else span(seconds))


def _moment(at: str, now: datetime) -> str:
    """Return a local time: that of the day for one of today."""
    text = local(at)
    day = text.partition(" ")[0]
    return text.removeprefix(f"{day} ") if day == f"{now.astimezone():%Y-%m-%d}" else text


def queues(page: _Page, now: datetime) -> Section:
    """Return the queues: first those from which nothing starts, then the longest."""
    columns = tuple(map(Column, ("RUNNING", "QUEUED", "BLOCKED", "OLDEST", "STATE")))
    if page is None:
        return unreadable("QUEUES")
    found = sorted(
        page["items"], key=lambda queue: (not _state(queue), -queue["queued"], queue["name"])
    )
    rows = [_queue(each, now) for each in found]
    return Section("QUEUES", columns, rows, len(rows), is_exact=page["next_cursor"] is None)


def _queue(queue: _Row, now: datetime) -> list[Text]:
    limit = queue["concurrency"]
    slots = queue["running"] if limit is None else f"{queue['running']}/{limit}"
    return [
        cell(queue["name"]),
        cell(slots),
        cell(queue["queued"]),
        cell(queue["blocked"]),
        cell(ago(queue["oldest_queued_at"], now)),
        cell(_state(queue), "yellow"),
    ]


def _state(queue: _Row) -> str:
    """Return why no run of a queue starts; nothing, if one can."""
    if queue["paused"]:
        return "paused"
    limit = queue["concurrency"]
    return "full" if limit is not None and queue["running"] >= limit and queue["queued"] else ""


def _items(page: _Page) -> Sequence[Any]:
    return page["items"] if page else ()
