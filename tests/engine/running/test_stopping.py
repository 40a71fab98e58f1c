"""Stops, crashes and restarts of a service, and lost leases."""

import threading

import pytest
from sqlalchemy import update

from rota.db import tables
from rota.db.command import Command, Transaction
from rota.domain.primitives.ids import Id
from rota.domain.runs.status import RunStatus
from rota.errors import Unavailable
from rota.handlers.http.handler import HTTP
from rota.store.runs.queues import PutQueue
from tests.engine.running.test_service import MANUAL, Gate, Serve, count, noop
from tests.engine.service import Service
from tests.handlers.target import serving
from tests.support.factories import DEADLINE


def test_a_stop_waits_for_runs_that_end_within_the_grace_period(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, drain_grace=DEADLINE)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()

    stopping = threading.Thread(target=service.engine.stop)
    stopping.start()
    waiting = service.run_now()
    gate.open()
    stopping.join(DEADLINE)

    assert not stopping.is_alive()
    assert service.run(run.id).status is RunStatus.SUCCEEDED
    assert service.run(waiting.id).attempt == 0
    service.engine.stop = lambda: None  # type: ignore[method-assign]  # it has stopped


def test_runs_that_outlast_the_grace_period_are_released_and_another_replica_finishes_them(
    serve: Serve,
) -> None:
    gate = Gate()
    first = serve(gate.handler, drain_grace=0.05)
    first.register(handler="gate", **MANUAL)
    runs = [first.run_now().id for _ in range(3)]
    for _ in runs:
        gate.wait()
    first.stop()
    gate.open()

    second = serve(gate.handler)
    ended = [second.ended(id) for id in runs]

    assert {(run.status.value, run.attempt, run.failures) for run in ended} == {("succeeded", 2, 0)}
    assert [each.outcome for each in second.attempts(runs[0])] == ["released", "succeeded"]
    assert second.count(tables.replica) == 1


class _EndLeases(Command[None]):
    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(tables.replica.delete())


def test_a_process_that_lost_its_lease_abandons_its_attempts(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, lease_ttl=1)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()
    holder = service.holder

    service.do(_EndLeases())
    assert gate.cancelled.wait(DEADLINE)
    gate.wait()  # the next attempt, under a new lease
    gate.open()

    ended = service.ended(run.id)
    assert service.holder != holder
    assert (ended.status, ended.attempt) == (RunStatus.SUCCEEDED, 2)
    assert [each.outcome for each in service.attempts(run.id)] == ["lost", "succeeded"]


class _Suspect(Command[None]):
    """Lose a run once, as if the process that ran it had died."""

    def __init__(self, run_id: Id) -> None:
        self._run_id = run_id

    def apply(self, tx: Transaction) -> None:
        mine = tables.run.c.id == self._run_id
        assert tx.connection.execute(update(tables.run).where(mine).values(lost_count=1)).rowcount


def test_a_lost_run_is_executed_again_although_its_task_calls_a_url_now(serve: Serve) -> None:
    """An `http` call cannot end the process, but the run must still be claimed as a suspect."""
    service = serve(noop, HTTP)
    with serving() as site:
        service.do(PutQueue(name="default", concurrency=None, paused=True, by="me"))
        service.register(handler="noop", **MANUAL)
        run = service.run_now()
        service.writer.call(_Suspect(run.id))
        target = {"url": f"http://127.0.0.1:{site.port}/"}
        service.register(handler="http", target=target, on_conflict="update", **MANUAL)
        service.do(PutQueue(name="default", concurrency=None, paused=False, by="me"))

        assert service.ended(run.id).status is RunStatus.SUCCEEDED
        assert len(site.received) == 1


class _Steal(Command[None]):
    """Give a run to another holder, as a takeover would."""

    def __init__(self, run_id: Id) -> None:
        self._run_id = run_id

    def apply(self, tx: Transaction) -> None:
        mine = tables.run.c.id == self._run_id
        tx.connection.execute(
            update(tables.run).where(mine).values(attempt=tables.run.c.attempt + 1)
        )


def test_an_attempt_that_lost_its_run_is_fenced_and_its_slot_is_free_again(serve: Serve) -> None:
    gate = Gate()
    service = serve(gate.handler, count, concurrency=1)
    service.register(handler="gate", **MANUAL)
    service.register("next", handler="count", **MANUAL)
    run = service.run_now()
    gate.wait()

    service.do(_Steal(run.id))
    gate.open()
    following = service.ended(service.run_now("next").id)

    assert following.status is RunStatus.SUCCEEDED
    stolen = service.run(run.id)
    assert (stolen.status, stolen.result, stolen.attempt) == (RunStatus.RUNNING, None, 2)


def test_a_start_without_a_database_fails_and_can_be_stopped(migrated_database_url: str) -> None:
    service = Service(migrated_database_url, noop)
    service.writer.start()
    service.writer.stop()

    with pytest.raises(Unavailable):
        service.engine.start()
    service.engine.stop()
    service.database.close()


def test_a_stop_without_a_database_ends(serve: Serve, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.engine.execution._TIMEOUT", 0.3)
    gate = Gate()
    service = serve(gate.handler, drain_grace=0)
    service.register(handler="gate", **MANUAL)
    run = service.run_now()
    gate.wait()
    service.writer.stop()

    service.engine.stop()

    assert service.run(run.id).status is RunStatus.RUNNING
    service._stopped = True
    service.database.close()
