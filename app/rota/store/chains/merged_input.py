"""The input of a run of a successor: the results of its predecessors' runs, merged with its task's own input."""

from collections.abc import Collection, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, case, or_, select

from rota.db.byte_lengths import byte_length
from rota.db.tables import run
from rota.domain.chains.result_merge import MOST_INPUT_BYTES, merged, too_large, write_merged
from rota.domain.primitives import json_text
from rota.domain.primitives.ids import Id
from rota.domain.runs.errors import RunError
from rota.domain.schedules.definitions import Merge

# Results up to this size (in characters) are read together; larger ones only when they are merged.
_SMALL = 4_096


class Results:
    """Results of runs, read in a transaction that may have written them."""

    def __init__(self, connection: Connection, run_ids: Collection[Id]) -> None:
        self._connection = connection
        self._sizes: dict[Id, int] = {}
        self._small: dict[Id, Any] = {}
        self._traces: dict[Id, str] = {}
        # Many successors of one task may have the same input of their own.
        self._merged: dict[tuple[str, Merge, tuple[Id, ...]], str | RunError] = {}
        if run_ids:
            self._read_small(run_ids)

    def merged(self, own: str, merge: Merge, runs: Mapping[str, Id]) -> str | RunError:
        """Return the input (JSON text) of a run after `runs` (by task, in their order), or why there can be none.

        The result of a run that did not succeed, or that is not kept any more, is null.
        """
        key = (own, merge, tuple(runs.values()))
        if key not in self._merged:
            self._merged[key] = self._merge(own, merge, runs)
        return self._merged[key]

    def traceparent(self, run_id: Id | None) -> str | None:
        """Return the trace context of one of the runs."""
        return None if run_id is None else self._traces.get(run_id)

    def _merge(self, own: str, merge: Merge, runs: Mapping[str, Id]) -> str | RunError:
        size = len(own) + sum(self._sizes.get(id, 0) for id in runs.values())
        if size > MOST_INPUT_BYTES:
            return too_large(size)
        found = self._small | self._read([id for id in runs.values() if id not in self._small])
        results = [(name, found.get(id)) for name, id in runs.items()]
        return write_merged(merged(json_text.loads(own), results, merge))

    def _read_small(self, run_ids: Collection[Id]) -> None:
        size = byte_length(run.c.result)
        rows = self._connection.execute(
            select(
                run.c.id,
                size.label("size"),
                case((size <= _SMALL, run.c.result)).label("text"),
                run.c.traceparent,
            ).where(
                run.c.id.in_(run_ids),
                or_(run.c.result.is_not(None), run.c.traceparent.is_not(None)),
            )
        )
        for row in rows:
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
