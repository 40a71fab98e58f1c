"""Log lines and progress of attempts."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from sqlalchemy import Connection, and_, insert, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import run, run_log
from rota.domain.primitives.ids import Id
from rota.domain.runs.model import LogLine, Progress
from rota.domain.runs.status import RunStatus
from rota.errors import NotFound
from rota.store.json_columns import dump_progress
from rota.store.runs.reading import find_run


@dataclass(frozen=True, slots=True, kw_only=True)
class SaveOutput(Command[bool]):
    """Store log lines and progress of a running attempt; False, and nothing stored, if it has lost its run."""

    # What could not be stored comes again with the next command.
    patient = False

    run_id: Id
    attempt: int
    holder: Id
    lines: tuple[LogLine, ...]
    progress: Progress | None

    def apply(self, tx: Transaction) -> bool:
        held = and_(
            run.c.id == self.run_id,
            run.c.status == RunStatus.RUNNING,
            run.c.attempt == self.attempt,
            run.c.holder == self.holder,
        )
        progress = {} if self.progress is None else {"progress": dump_progress(self.progress)}
        # Without progress the row is only locked, so that the lines go with an attempt that is still ours.
        saved = update(run).where(held).values(progress or {"attempt": run.c.attempt})
        if tx.connection.execute(saved).rowcount != 1:
            return False
        insert_lines(tx, [(self.run_id, self.attempt, self.lines)])
        return True


def insert_lines(tx: Transaction, logged: Iterable[tuple[Id, int, Sequence[LogLine]]]) -> None:
    """Add lines of attempts, given as (run id, attempt, lines)."""
    rows = [
        {
            "run_id": run_id,
            "attempt": attempt,
            "line": line.line,
            "at": line.at,
            "level": line.level,
            "message": line.message,
        }
        for run_id, attempt, lines in logged
        for line in lines
    ]
    if rows:
        tx.connection.execute(insert(run_log), rows)


def list_lines(
    connection: Connection, run_id: Id, after: tuple[int, int], limit: int
) -> list[tuple[int, LogLine]]:
    """Return up to `limit` (attempt, line) of a run, in order, after the position (attempt, line)."""
    attempt, line = after
    later = (run_log.c.attempt > attempt) | (
        (run_log.c.attempt == attempt) & (run_log.c.line > line)
    )
    rows = connection.execute(
        select(run_log)
        .where(run_log.c.run_id == run_id, later)
        .order_by(run_log.c.attempt, run_log.c.line)
        .limit(limit)
    )
    return [(row.attempt, LogLine(row.line, row.at, row.level, row.message)) for row in rows]


def follow_lines(
    connection: Connection, run_id: Id, after: tuple[int, int], limit: int
) -> tuple[RunStatus | None, list[tuple[int, LogLine]]]:
    """Return the status of a run if it is final (`cancelled` if it was deleted), and the same lines as `list_lines`."""
    try:
        status = find_run(connection, run_id).status
    except NotFound:
        return RunStatus.CANCELLED, []
    return status if status.final else None, list_lines(connection, run_id, after, limit)
