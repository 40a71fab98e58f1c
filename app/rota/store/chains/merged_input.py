"""The input of a run of a successor: its task's own input, with its predecessors' runs and their results."""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

from sqlalchemy import Connection, RowMapping, case, select

from rota.db.expressions.byte_lengths import byte_length
from rota.db.tables import run
from rota.domain.chains.result_merge import (
    MOST_INPUT_BYTES,
    RUN_FIELDS,
    merged,
    too_large,
    write_merged,
)
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times.instants import format_instant
from rota.domain.runs.errors import RunError
from rota.domain.schedules.definitions import Merge
from rota.store.json_columns import dump_error, load_error

# Results up to this size (in characters) are read together; larger ones only when they are merged.
_SMALL = 4_096


class Results:
    """Runs and their results, read in a transaction that may have written them."""

    def __init__(self, connection: Connection, run_ids: Collection[Id]) -> None:
        self._connection = connection
        self._sizes: dict[Id, int] = {}
        self._small: dict[Id, Any] = {}
        self._traces: dict[Id, str] = {}
        self._chains: dict[Id, Id] = {}
        self._runs: dict[Id, dict[str, Any]] = {}
        # Many successors of one task may have the same input of their own.
        self._merged: dict[tuple[str, Merge, tuple[Id, ...]], str | RunError] = {}
        if run_ids:
            self._read_small(run_ids)

    def merged(self, own: str, merge: Merge, runs: Mapping[str, Id]) -> str | RunError:
        """Return the input (JSON text) of a run after `runs` (by task, in their order), or why there can be none.

        The result of a run that did not succeed, or that is not kept any more, is null. The runs are left out if the
        input would be too large with them.
        """
        key = (own, merge, tuple(runs.values()))
        if key not in self._merged:
            self._merged[key] = self._merge(own, merge, runs)
        return self._merged[key]

    def traceparent(self, run_id: Id | None) -> str | None:
        """Return the trace context of one of the runs."""
        return None if run_id is None else self._traces.get(run_id)

    def chain(self, run_id: Id) -> Id:
        """Return the chain of one of the runs; one that is not kept any more counts as the first of its chain."""
        return self._chains.get(run_id, run_id)

    def _merge(self, own: str, merge: Merge, runs: Mapping[str, Id]) -> str | RunError:
        size = len(own) + sum(self._sizes.get(id, 0) for id in runs.values())
        if size > MOST_INPUT_BYTES:
            return too_large(size)
        found = self._small | self._read([id for id in runs.values() if id not in self._small])
        results = [(name, found.get(id)) for name, id in runs.items()]
        run_facts = {name: self._runs.get(id) for name, id in runs.items()}
        plain = json_text.loads(own)
        text = write_merged(merged(plain, results, merge, run_facts))
        return write_merged(merged(plain, results, merge)) if isinstance(text, RunError) else text

    def _read_small(self, run_ids: Collection[Id]) -> None:
        size = byte_length(run.c.result)
        rows = self._connection.execute(
            select(
                *(run.c[name] for name in RUN_FIELDS),
                size.label("size"),
                case((size <= _SMALL, run.c.result)).label("text"),
                run.c.traceparent,
                run.c.chain_id,
            ).where(run.c.id.in_(run_ids))
        ).all()
        for row in rows:
            self._runs[row.id] = _facts_of(row._mapping)  # noqa: SLF001  # SQLAlchemy's public name for it
            self._chains[row.id] = row.chain_id or row.id
            if row.traceparent is not None:
                self._traces[row.id] = row.traceparent
            if row.size is not None:
                self._sizes[row.id] = row.size
            if row.text is not None:
                self._small[row.id] = json_text.loads(row.text)

    def _read(self, run_ids: Sequence[Id]) -> dict[Id, Any]:
        large = [id for id in run_ids if id in self._sizes]
        if not large:
            return {}
        rows = self._connection.execute(select(run.c.id, run.c.result).where(run.c.id.in_(large)))
        return {row.id: json_text.loads(row.result) for row in rows}


def _facts_of(row: RowMapping) -> dict[str, Any]:
    """Return what a successor gets to know of a run, as the API shows it, without a traceback."""
    found = load_error(row["error"])
    error = None if found is None else dump_error(replace(found, traceback=None))
    return {
        "id": row["id"],
        "status": row["status"],
        "reason": row["reason"],
        "error": None if error is None else json_text.loads(error),
        "attempt": row["attempt"],
        "scheduled_for": format_instant(row["scheduled_for"]),
        "finished_at": None if row["finished_at"] is None else format_instant(row["finished_at"]),
    }
