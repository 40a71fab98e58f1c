"""Resealing: a walk over all that is stored, so that it comes to be sealed with the first key."""

from collections.abc import Callable, Sequence
from typing import Any

from rota.db.engine import Database
from rota.db.writer import Command
from rota.store.input_key_rotation import InputWalk, ResealInputs, next_inputs
from rota.store.key_rotation import Reseal, Walk, next_to_reseal

#: Rows looked at in one read, and sealed in one write: as many as keep nobody long.
MOST_EXAMINED = 2_000
_AT_A_TIME = 200


class Resealing:
    """Goes on where it stopped, and begins again at the end: another replica may still write with an earlier key."""

    def __init__(self, database: Database, do: Callable[[Command[int]], int]) -> None:
        self._database = database
        self._do = do
        self._walk: Walk | InputWalk = Walk()

    def sweep(self) -> int:
        """Seal what is not sealed with the first key, as long as the walk meets such values; return how many."""
        sealed = 0
        while found := self._step():
            sealed += found
        return sealed

    def go_round(self) -> int:
        """Walk over everything once; return how many values were sealed."""
        self._walk = Walk()
        sealed = self._step()
        while self._walk != Walk():
            sealed += self._step()
        return sealed

    def _step(self) -> int:
        walk = self._walk
        if isinstance(walk, Walk):
            with self._database.read() as connection:
                versions, values_next = next_to_reseal(connection, walk, MOST_EXAMINED)
            self._walk = values_next or InputWalk()
            return sum(self._do(Reseal(walk.table, batch)) for batch in _batches(versions))
        with self._database.read() as connection:
            ids, inputs_next = next_inputs(connection, walk, MOST_EXAMINED)
        self._walk = inputs_next or Walk()
        return sum(self._do(ResealInputs(walk.table, batch)) for batch in _batches(ids))


def _batches(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(rows[start : start + _AT_A_TIME]) for start in range(0, len(rows), _AT_A_TIME)]
