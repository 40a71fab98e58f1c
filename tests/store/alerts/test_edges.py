"""Edges: each is written once, with the notification and the run that sends it."""

from dataclasses import dataclass
from typing import Any

import pytest

from rota.db.command import Command, Transaction
from rota.db.tables import alert, notification
from rota.domain.alerts.rules import AlertKind
from rota.domain.primitives.json import json_text
from rota.store.alerts.edges import Edge, write_edges
from tests.support.factories import World


@dataclass(frozen=True)
class WriteEdges(Command[None]):
    """What a check that finds edges does."""

    edges: tuple[Edge, ...]

    def apply(self, tx: Transaction) -> None:
        write_edges(tx, self.edges)


def edge(world: World, *, raised: bool = True, name: str = "t", **fields: Any) -> WriteEdges:
    kind = fields.pop("kind", AlertKind.LATE)
    made = Edge(task_id=world.task(name).id, kind=kind, raised=raised, details={}, **fields)
    return WriteEdges((made,))


@pytest.fixture(autouse=True)
def tasks(world: World) -> None:
    world.register("ops", schedule={"type": "manual"}, input={"to": "me", "type": "mine"})
    world.register(on_late={"task": "ops", "after": 60}, tags=["shop"])


def test_an_edge_runs_the_task_that_its_rule_names_with_the_event(world: World) -> None:
    world.do(edge(world))

    (made,) = world.runs("ops")
    event = json_text.loads(made.input)
    assert (made.trigger, made.status) == ("notification", "queued")
    assert (event["to"], event["type"]) == ("me", "alert.late")
    assert event["data"]["tags"] == ["shop"]
    assert event["data"]["message"] == "Task 't' is late: a run has not started in time."


def test_an_alert_is_raised_and_ends_once(world: World) -> None:
    for raised in (True, True, False, False, True):
        world.do(edge(world, raised=raised))

    types = [json_text.loads(run.input)["type"] for run in world.runs("ops")]
    assert types == ["alert.late", "alert.on_time", "alert.late"]
    assert (world.count(alert), world.count(notification)) == (1, 3)
