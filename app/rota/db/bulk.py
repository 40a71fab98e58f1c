"""Statements for many rows: compiled once, and passed to the driver as tuples.

SQLAlchemy builds a dictionary of parameters for each row of an `executemany`; for the statements that every run needs,
that costs more than the database does. The statements are still those of SQLAlchemy Core.

One statement for many rows is less than half the work of a statement for each. On SQLite it also blocks no other thread
meanwhile: the driver releases the interpreter lock once a statement. A value that all rows share is one parameter:
binding a value costs a third of a microsecond, and most columns of a run have the value of the next run.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, Dialect
from sqlalchemy.sql.dml import UpdateBase

from rota.db.bulk_dialects.postgresql import Arrays
from rota.db.bulk_dialects.sqlite import Values
from rota.db.bulk_dialects.statements import Parameter, RowByRow

# The styles with positional parameters, by dialect.
_PARAMSTYLES = {"sqlite": "qmark", "postgresql": "format"}
_TOGETHER = {"sqlite": Values, "postgresql": Arrays}


class Bulk:
    """An INSERT, UPDATE or DELETE for many rows, given as mappings from the names of its parameters."""

    def __init__(
        self, statement: UpdateBase, names: Sequence[str] | None = None, *, apart: bool = False
    ) -> None:
        """`names`: the columns of an INSERT without values.

        `apart`: every given row concerns another row of the table, so that many may share a statement (an INSERT or
        UPDATE); of two for the same row only one is executed then. On PostgreSQL the rows to update must be locked
        already: the plan of a statement decides in which order it would lock them.
        """
        self._statement = statement
        self._apart = apart
        self._names = None if names is None else list(names)
        self._compiled: dict[str, RowByRow] = {}

    def execute(self, connection: Connection, rows: Sequence[Mapping[str, Any]]) -> int:
        """Execute it for every row; return how many rows were changed in total."""
        if not rows:
            return 0
        return self.compiled(connection.dialect).execute(connection, rows)

    def compiled(self, dialect: Dialect) -> RowByRow:
        """Return the statement for a dialect."""
        name = dialect.name
        if name not in self._compiled:
            positional = type(dialect)(paramstyle=_PARAMSTYLES[name])  # type: ignore[call-arg]
            compiled: Any = self._statement.compile(dialect=positional, column_keys=self._names)
            parameters = [
                Parameter.of(compiled.binds[bind], dialect) for bind in compiled.positiontup
            ]
            kind = _TOGETHER[name] if self._apart else RowByRow
            self._compiled[name] = kind(compiled, parameters)
        return self._compiled[name]
