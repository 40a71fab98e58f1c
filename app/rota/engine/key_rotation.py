"""Key rotation: a walk over all stored values that encrypts them with the first key."""

from collections.abc import Callable, Sequence
from typing import Any

from rota.db.engine import Database
from rota.db.writer import Command
from rota.store.input_key_rotation import InputWalk, ResealInputs, next_inputs
from rota.store.key_rotation import Reseal, Walk, next_to_reseal

#: Rows read in one step, and rows encrypted in one write: few enough that other writes do not wait long.
PAGE = 2_000
_BATCH = 200


class KeyRotation:
    """Continues where it stopped, and begins again at the end: another replica may still write with an earlier key."""

    def __init__(self, database: Database, do: Callable[[Command[int]], int]) -> None:
        """`do` commits a command and returns its result."""
        self._database = database
        self._do = do
        self._walk: Walk | InputWalk = Walk()

    def sweep(self) -> int:
        """Encrypt values that another key encrypts, until a page has none; return how many."""
        resealed = 0
        while found := self._step():
            resealed += found
        return resealed

    def go_round(self) -> int:
        """Walk over everything once; return how many values were encrypted again."""
        self._walk = Walk()
        resealed = self._step()
        while self._walk != Walk():
            resealed += self._step()
        return resealed

    def _step(self) -> int:
        walk = self._walk
        if isinstance(walk, Walk):
            with self._database.read() as connection:
                versions, values_next = next_to_reseal(connection, walk, PAGE)
            self._walk = values_next or InputWalk()
            return sum(self._do(Reseal(walk.table, batch)) for batch in _batches(versions))
        with self._database.read() as connection:
            ids, inputs_next = next_inputs(connection, walk, PAGE)
        self._walk = inputs_next or Walk()
        return sum(self._do(ResealInputs(walk.table, batch)) for batch in _batches(ids))


def _batches(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH)]
