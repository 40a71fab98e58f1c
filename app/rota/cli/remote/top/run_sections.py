"""The sections about runs: those that are running, those that wait, those that have failed."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

from rich.text import Text

from rota.cli.remote.text.errors import error_line
from rota.cli.remote.top.section import Column, Section, cell, unreadable
from rota.cli.remote.top.spans import LATE, ago, seconds_since, span

_Row = Mapping[str, Any]
_Page = Mapping[str, Any] | None
_RUN = Column("RUN", is_extra=True)
_QUEUE = Column("QUEUE", is_extra=True)


def running(page: _Page, now: datetime) -> Section:
    """Return the runs that are running, the longest first."""
    columns = (Column("FOR"), Column("PROGRESS", may_shrink=True), _QUEUE, _RUN)
    if page is None:
        return unreadable("RUNNING")
    found = sorted(page["items"], key=lambda run: run["started_at"] or "")
    return _section("RUNNING", columns, page, [_running(each, now) for each in found])


def _running(run: _Row, now: datetime) -> list[Text]:
    started = run["started_at"]
    took = None if started is None else span(_since(started, now))
    return [
        cell(run["task"]),
        cell(took, "cyan"),
        cell(_progress(run)),
        cell(run["queue"], "dim"),
        cell(run["id"], "dim"),
    ]


def _progress(run: _Row) -> str:
    progress = run["progress"] or {}
    fraction = progress.get("fraction")
    parts = (
        "cancelling" if run["cancel_requested_at"] else None,
        f"attempt {run['attempt']}" if run["attempt"] > 1 else None,
        None if fraction is None else f"{100 * fraction:.0f} %",
        progress.get("message"),
        f"waits for its {', '.join(run['waiting_on'])}" if run["waiting_on"] else None,
    )
    return ", ".join(filter(None, parts)) or "-"


def waiting(page: _Page, now: datetime) -> Section:
    """Return the runs that were due and have not started, those that are most late first."""
    columns = (Column("LATE"), Column("WAITS FOR", may_shrink=True), _QUEUE, _RUN)
    if page is None:
        return unreadable("WAITING")
    found = sorted(page["items"], key=lambda run: str(run["scheduled_for"]))
    return _section("WAITING", columns, page, [_waiting(each, now) for each in found])


def _waiting(run: _Row, now: datetime) -> list[Text]:
    late = _since(run["scheduled_for"], now)
    return [
        cell(run["task"]),
        cell(span(late), "yellow" if late >= LATE else ""),
        cell(_cause(run, now)),
        cell(run["queue"], "dim"),
        cell(run["id"], "dim"),
    ]


def _cause(run: _Row, now: datetime) -> str:
    """Return what a run waits for: what it names, its next attempt, or a slot of its queue."""
    causes = list(run["waiting_on"])
    until = run["not_before"]
    if until is not None and seconds_since(until, now) < 0:
        causes.append(f"{'a retry ' if run['attempt'] else ''}{ago(until, now)}")
    return ", ".join(causes) or "a slot"


def failed(page: _Page, now: datetime) -> Section:
    """Return the runs that have failed, the one that ended last first."""
    columns = (Column("ENDED"), Column("REASON"), Column("ERROR", may_shrink=True), _RUN)
    if page is None:
        return unreadable("FAILED")
    found = sorted(page["items"], key=lambda run: run["finished_at"] or "", reverse=True)
    rows = [_failed(each, now) for each in found]
    return _section("FAILED", columns, page, rows, within=" IN 24H")


def _failed(run: _Row, now: datetime) -> list[Text]:
    return [
        cell(run["task"]),
        cell(ago(run["finished_at"], now)),
        cell(run["reason"], "red"),
        cell(error_line(run["error"])),
        cell(run["id"], "dim"),
    ]


def _section(
    title: str, columns: tuple[Column, ...], page: _Row, rows: list[list[Text]], within: str = ""
) -> Section:
    """Return the section of a page, which may say how many there are in all."""
    total = page.get("total")
    if total is None:
        is_exact = page["next_cursor"] is None
        return Section(title, columns, rows, len(rows), is_exact, within)
    # Some may have ended between the reading of the page and the counting.
    count = max(total, len(rows))
    return Section(title, columns, rows, count, page["total_is_exact"], within)


def _since(at: str, now: datetime) -> float:
    """Return the seconds since a time that has passed: not fewer than 0, also if the clocks differ."""
    return max(seconds_since(at, now), 0.0)
