"""Completions: the ends of attempts that continue outside of Rota, by their tokens."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol

from rota.db.command import Transaction
from rota.domain.effects import OutsideAttemptEnded
from rota.domain.runs.settlement import Settlement
from rota.store.completion.end import HeldRun
from rota.store.completion.finish import Finish, same_attempt, same_request, still_running
from rota.store.completion.record import Guard


class Complete(Finish):
    """End an attempt whose token was given. Raises LeaseLost, and writes nothing, if it has ended already.

    An attempt has one token, so that its number identifies it: also while the process that made the request still
    waits for the response, which it then finds superseded.
    """

    __slots__ = ()

    @classmethod
    def guards(cls) -> tuple[Guard, ...]:
        """Return what must still be so when the end is written: not who holds it."""
        return (still_running, same_attempt, same_request)

    @classmethod
    def apply_all(cls, tx: Transaction, commands: Sequence[Finish]) -> list[Settlement]:
        settlements = super().apply_all(tx, commands)
        for command, made in zip(commands, settlements, strict=True):
            tx.effects.append(ended_outside(command.run, made, tx.now))
        return settlements


class NamedRun(HeldRun, Protocol):
    """A run whose end is logged as well."""

    @property
    def task(self) -> str: ...
    @property
    def handler(self) -> str: ...


def ended_outside(of: NamedRun, made: Settlement, now: datetime) -> OutsideAttemptEnded:
    """Return the effect of the end of an attempt that no process of ours executed."""
    seconds = max((now - of.started_at).total_seconds(), 0.0)
    return OutsideAttemptEnded(of.id, of.task, of.attempt, of.handler, of.queue, made, seconds)
