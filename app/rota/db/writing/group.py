"""A group of commands in one transaction: executed together where possible, otherwise each in a savepoint."""

from collections.abc import Callable, Iterable, Sequence

from sqlalchemy import text
from sqlalchemy.exc import IntegrityError

from rota.db import failures
from rota.db.command import FollowUp, StaleError, Transaction
from rota.db.writing.lock_retries import WriteRequest

# How long a command waits for a lock when the group is executed one by one: the group has waited already. After several
# have met a lock the rest barely wait: all commands behind them wait for the sum.
_SHORT_TIMEOUT = text("SET LOCAL lock_timeout = '20ms'")
_SHORTEST_TIMEOUT = text("SET LOCAL lock_timeout = '1ms'")
_MOST_SHORT_TIMEOUTS = 5


def by_kind(batch: Iterable[WriteRequest]) -> Iterable[list[WriteRequest]]:
    """Group commands by their kind. None is answered yet, so every order of the kinds is a correct one."""
    groups: dict[type, list[WriteRequest]] = {}
    for request in batch:
        groups.setdefault(type(request.command), []).append(request)
    return groups.values()


def apply_together(tx: Transaction, group: Sequence[WriteRequest], follow_up: FollowUp) -> None:
    """Execute commands of one kind with their `apply_all`; raises what it raises."""
    commands = [request.command for request in group]
    results = type(commands[0]).apply_all(tx, commands)
    follow_up(tx)
    for request, result in zip(group, results, strict=True):
        error = result if isinstance(result, Exception) else None
        request.value, request.error, request.met = result, error, None


def is_transient(error: Exception) -> bool:
    """Return whether the same transaction may succeed when repeated; that is safe, since nothing was committed."""
    return isinstance(error, StaleError) or failures.is_transient(error)


class OneByOne:
    """Executes commands each in a savepoint, so that an error of one does not affect the others."""

    def __init__(
        self,
        tx: Transaction,
        to_raise: Callable[[Exception], Exception],
        follow_up: FollowUp,
        *,
        last: bool,
    ) -> None:
        """`to_raise` maps an error to the one that the caller gets; `last`: the transaction is not repeated."""
        self._tx = tx
        self._to_raise = to_raise
        self._follow_up = follow_up
        self._last = last
        self._met = 0

    def shorten_lock_timeout(self) -> None:
        """Wait for locks less long than the group has waited."""
        if not self._tx.is_sqlite:
            self._tx.connection.execute(_SHORT_TIMEOUT)

    def apply(self, request: WriteRequest) -> None:
        """Execute one command; raises its error if the transaction cannot continue."""
        request.value, request.error, request.met = None, None, None
        try:
            with self._tx.savepoint():
                value = request.command.apply(self._tx)
                self._follow_up(self._tx)
        except Exception as error:
            if self._ends_transaction(error):
                raise
            self._record(request, error)
        else:
            request.value = value

    def _ends_transaction(self, error: Exception) -> bool:
        if failures.met_lock(error):
            return False
        # A value that another replica has taken is read again, but not forever at the cost of the other commands.
        if is_transient(error):
            return not (self._last and isinstance(error, IntegrityError))
        return not failures.concerns_one(error)

    def _record(self, request: WriteRequest, error: Exception) -> None:
        if not failures.met_lock(error):
            request.error = self._to_raise(error)
            return
        request.met = error
        self._met += 1
        if self._met == _MOST_SHORT_TIMEOUTS:
            self._tx.connection.execute(_SHORTEST_TIMEOUT)
