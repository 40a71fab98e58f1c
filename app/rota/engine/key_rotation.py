"""Key rotation: a walk over all stored values that encrypts them with the first key."""

from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Any

from rota.db.command import Command
from rota.db.encryption import keyring_of
from rota.db.engine import Database
from rota.store.sealing.header_rotation import HeaderWalk, ResealHeaders, next_headers
from rota.store.sealing.input_rotation import InputWalk, ResealInputs, next_inputs
from rota.store.sealing.notes import NoteSealed, enforce_note
from rota.store.sealing.secret_rotation import ResealSecrets, SecretWalk, next_secrets
from rota.store.sealing.value_rotation import Reseal, Walk, next_to_reseal

#: Rows read in one step, and rows encrypted in one write: few enough that other writes do not wait long.
PAGE = 2_000
_BATCH = 200
#: How long the walks must find everything encrypted before that is noted: replicas are restarted one after the other,
#: and those without a key, or of an earlier version, still write plain values.
SETTLED_AFTER = timedelta(hours=1)

_Walk = Walk | InputWalk | HeaderWalk | SecretWalk


class KeyRotation:
    """Continues where it stopped, and begins again at the end: another replica may still write with an earlier key."""

    def __init__(
        self,
        database: Database,
        do: Callable[[Command[Any]], Any],
        monotonic: Callable[[], float] = lambda: 0.0,
    ) -> None:
        """`do` commits a command and returns its result; `monotonic` returns seconds."""
        self._database = database
        self._do = do
        self._monotonic = monotonic
        self._walk: _Walk = Walk()
        #: When this round began, whether it has found something to seal, and since when none has.
        self._began = 0.0
        self._found = False
        self._clean_since: float | None = None

    def sweep(self) -> int:
        """Encrypt values that another key encrypts, until a page has none; return how many.

        Once rounds have found nothing for long enough, that is noted.
        """
        resealed = 0
        while found := self._walk_on():
            resealed += found
        return resealed

    def go_round(self) -> int:
        """Walk over everything once; return how many values were encrypted again."""
        self._walk = Walk()
        self._begin()
        resealed = self._step()
        while self._walk != Walk():
            resealed += self._step()
        return resealed

    def settle(self) -> int:
        """Walk over everything, and note at once that all is encrypted. Return how many values were not."""
        sealed = self.go_round()
        if self._found:
            self.go_round()
        if not self._found:
            self._note()
        return sealed

    def _walk_on(self) -> int:
        if self._walk == Walk():
            self._begin()
        sealed = self._step()
        if self._walk == Walk():
            self._end_round()
        return sealed

    def _begin(self) -> None:
        self._began = self._monotonic()
        self._found = False
        with self._database.read() as connection:
            enforce_note(connection)  # it may be another replica's

    def _end_round(self) -> None:
        if self._found:
            self._clean_since = None
        elif self._clean_since is None:
            self._clean_since = self._monotonic()
        clean_for = 0.0 if self._clean_since is None else self._began - self._clean_since
        with self._database.read() as connection:
            keyring = keyring_of(connection)
        if keyring is None:
            return
        # What is noted already is noted under the first key.
        if keyring.strict or clean_for >= SETTLED_AFTER.total_seconds():
            self._note()

    def _note(self) -> None:
        self._do(NoteSealed())
        with self._database.read() as connection:
            enforce_note(connection)

    def _step(self) -> int:
        with self._database.read() as connection:
            commands, self._walk = _next(connection, self._walk)
        self._found = self._found or bool(commands)
        return sum(self._do(each) for each in commands)


def _next(connection: Any, walk: _Walk) -> tuple[list[Command[int]], _Walk]:
    """Return the commands for the next page of a walk, and the position after it (the beginning, after the last)."""
    if isinstance(walk, Walk):
        versions, after = next_to_reseal(connection, walk, PAGE)
        return [Reseal(walk.table, batch) for batch in _batches(versions)], after or InputWalk()
    if isinstance(walk, InputWalk):
        inputs, later = next_inputs(connection, walk, PAGE)
        return [
            ResealInputs(walk.table, batch) for batch in _batches(inputs)
        ], later or HeaderWalk()
    if isinstance(walk, HeaderWalk):
        tasks, then = next_headers(connection, walk, PAGE)
        return [ResealHeaders(batch) for batch in _batches(tasks)], then or SecretWalk()
    names, last = next_secrets(connection, walk, PAGE)
    return [ResealSecrets(batch) for batch in _batches(names)], last or Walk()


def _batches(rows: Sequence[Any]) -> list[tuple[Any, ...]]:
    return [tuple(rows[start : start + _BATCH]) for start in range(0, len(rows), _BATCH)]
