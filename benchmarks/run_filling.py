"""Very many runs that have ended, in a database that is filled with tasks: made by one statement, in seconds."""

from datetime import datetime

from sqlalchemy import create_engine, text
from sqlalchemy.pool import NullPool

# As the ids of tasks in `filling`: they rise, and a task is found by its number.
_WORDS = {
    "sqlite": {
        "id": "'01900000000070009000' || printf('%012x', number)",
        "task": "'01900000000070008000' || printf('%012x', number % :tasks)",
        "at": "strftime('%Y-%m-%d %H\\:%M\\:%f+00\\:00', ({}) / 1000.0, 'unixepoch')",
        "no": "0",
    },
    "postgresql": {
        "id": "CAST('01900000000070009000' || lpad(to_hex(number), 12, '0') AS uuid)",
        "task": "CAST('01900000000070008000' || lpad(to_hex(number % :tasks), 12, '0') AS uuid)",
        "at": "to_timestamp(({}) / 1000.0)",
        "no": "false",
    },
}
# Of ten runs one has failed, and one was skipped; they take up to a minute, and are up to a second late.
_SCHEDULED = ":begin + number * :apart"
_STARTED = f"{_SCHEDULED} + number % 997"
_FINISHED = f"{_STARTED} + number % 59999"
_INSERT = """
    WITH RECURSIVE numbers(number) AS (
        SELECT CAST(0 AS bigint) UNION ALL SELECT number + 1 FROM numbers WHERE number + 1 < :count
    )
    INSERT INTO run (id, task_id, task_generation, trigger, handler, queue, priority, input, attempt, failures,
        lost_count, conflict_count, constrained, count, status, reason, result, scheduled_for, created_at,
        first_started_at, started_at, finished_at)
    SELECT {id}, {task}, 1, 'schedule', 'noop', 'default', 0, '{{}}', 1, 0, 0, 0, {no}, 1,
        CASE number % 10 WHEN 0 THEN 'failed' WHEN 1 THEN 'skipped' ELSE 'succeeded' END,
        CASE number % 10 WHEN 0 THEN 'error' WHEN 1 THEN 'overlap' END,
        CASE WHEN number % 10 > 1 THEN '[1, 2, 3]' END,
        {scheduled}, {scheduled}, {started}, {started}, {finished}
    FROM numbers
"""


def fill_runs(url: str, tasks: int, count: int, begin: datetime, end: datetime) -> None:
    """Give `tasks` tasks, made by `fill`, `count` runs from `begin` until before `end`, one after the other."""
    engine = create_engine(url, poolclass=NullPool)
    words = _WORDS[engine.dialect.name]
    started = f"CASE WHEN number % 10 <> 1 THEN {words['at'].format(_STARTED)} END"
    statement = text(
        _INSERT.format(
            id=words["id"],
            task=words["task"],
            no=words["no"],
            scheduled=words["at"].format(_SCHEDULED),
            started=started,
            finished=words["at"].format(_FINISHED),
        )
    )
    first = int(begin.timestamp() * 1_000)
    apart = max(int((end - begin).total_seconds() * 1_000) // count, 1)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        if engine.dialect.name == "sqlite":
            connection.exec_driver_sql("PRAGMA synchronous=OFF")
            connection.exec_driver_sql("PRAGMA cache_size=-200000")
        given = {"tasks": tasks, "count": count, "begin": first, "apart": apart}
        connection.execute(statement, given)
        for each in _SETTLE[engine.dialect.name]:
            connection.exec_driver_sql(each)


_SETTLE = {
    "sqlite": ("PRAGMA wal_checkpoint(TRUNCATE)",),
    "postgresql": ("VACUUM ANALYZE run", "CHECKPOINT"),
}
