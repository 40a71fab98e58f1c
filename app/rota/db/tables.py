"""The tables. Constraint names are part of the design: the tests violate each constraint and recognise it by name.

Columns that hold JSON are text, written by `domain.primitives.json.json_text`: the databases' own JSON types change
numbers.
"""

from sqlalchemy import Table
from sqlmodel import SQLModel

from rota.db.schema.access import ApiKeyRow, SessionRow
from rota.db.schema.alerts import AlertRow, AlertWatchRow, NotificationRow, UnwatchedSpanRow
from rota.db.schema.audit import AuditRow
from rota.db.schema.base import Row
from rota.db.schema.bulk import BulkItemRow, BulkRow, BulkSelectionRow
from rota.db.schema.calendars import CalendarRow, CalendarStateRow, TaskCalendarRow
from rota.db.schema.holds import HoldRow
from rota.db.schema.kv import KvHistoryRow, KvRow, SealingNoteRow
from rota.db.schema.removed_runs import RemovedRunsRow
from rota.db.schema.replicas import HandlerRow, ReplicaRow, ZoneReleaseRow
from rota.db.schema.requests import EventRow, IdempotencyRow
from rota.db.schema.runs import AttemptRow, AttemptTokenRow, RunLinkRow, RunLogRow, RunRow
from rota.db.schema.secrets import SecretRow
from rota.db.schema.tasks import BackfillRow, PredecessorRow, QueueRow, TaskRow, TaskTagRow

metadata = Row.metadata


def table_of(row: type[SQLModel]) -> Table:
    """Return the Core table behind a table class."""
    return row.__table__  # type: ignore[attr-defined,no-any-return]


handler = table_of(HandlerRow)
replica = table_of(ReplicaRow)
zone_release = table_of(ZoneReleaseRow)
task = table_of(TaskRow)
task_tag = table_of(TaskTagRow)
run = table_of(RunRow)
attempt = table_of(AttemptRow)
attempt_token = table_of(AttemptTokenRow)
run_log = table_of(RunLogRow)
removed_runs = table_of(RemovedRunsRow)
run_link = table_of(RunLinkRow)
kv = table_of(KvRow)
kv_history = table_of(KvHistoryRow)
sealing_note = table_of(SealingNoteRow)
secret = table_of(SecretRow)
api_key = table_of(ApiKeyRow)
session = table_of(SessionRow)
alert = table_of(AlertRow)
notification = table_of(NotificationRow)
audit = table_of(AuditRow)
unwatched_span = table_of(UnwatchedSpanRow)
alert_watch = table_of(AlertWatchRow)
event = table_of(EventRow)
idempotency = table_of(IdempotencyRow)
predecessor = table_of(PredecessorRow)
queue = table_of(QueueRow)
hold = table_of(HoldRow)
calendar = table_of(CalendarRow)
calendar_state = table_of(CalendarStateRow)
task_calendar = table_of(TaskCalendarRow)
backfill = table_of(BackfillRow)
bulk = table_of(BulkRow)
bulk_selection = table_of(BulkSelectionRow)
bulk_item = table_of(BulkItemRow)
