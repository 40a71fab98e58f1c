"""Edges: an alert is raised or recovers, once, and the task that its rule names is run with the event."""

from collections.abc import Sequence
from typing import Any

from rota.db.command import Transaction
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.ids import Id
from rota.domain.primitives.value_class import value_class


@value_class(kw_only=True)
class Edge:
    """A condition of a task that has come true (`raised`) or has ended."""

    task_id: Id
    kind: AlertKind
    raised: bool
    #: The run that caused it, if one did.
    run_id: Id | None = None
    #: What the event says beside the run and the task: `{"message": …, "since": …}`.
    details: dict[str, Any]


def write_edges(tx: Transaction, edges: Sequence[Edge]) -> None:
    """Write what follows from edges: an alert that is raised already, or is not raised, is left as it is."""
    raise NotImplementedError
