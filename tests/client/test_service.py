"""The client and the real service: every namespace, over a real socket."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import count
from typing import Any

import pytest

from rota.client import (
    AsyncRota,
    Invalid,
    NotFound,
    PreconditionFailed,
    Rota,
    RunCancelled,
    RunFailed,
)
from rota.client.problems import (
    FirstKey,
    InvalidFilter,
    InvalidInput,
    NoEncryptionKeys,
    Overlap,
    TaskExists,
    UnknownHandler,
    UnknownParameter,
    WrongStatus,
)
from tests.api.marks import on_both
from tests.support.factories import eventually

_NUMBERS = count()
MANUAL = {"type": "manual"}
YEARLY = {"type": "cron", "expression": "0 0 1 1 *"}
PATIENCE = 30


@pytest.fixture
def name() -> str:
    return f"task-{next(_NUMBERS)}"


def declare(rota: Rota, name: str, **fields: Any) -> None:
    rota.tasks.declare(name, **({"handler": "echo", "schedule": MANUAL} | fields))


@on_both
def test_a_run_returns_what_its_handler_returns(rota: Rota, name: str) -> None:
    declare(rota, name, input={"big": 10**30})
    task = rota.task(name)

    run = task.run()
    assert run.started is not None
    assert run.started.task == name
    assert run.result(timeout=PATIENCE) == {"big": 10**30}
    assert task.run([1]).result(timeout=PATIENCE) == [1]
    assert rota.run(run.id).wait().status == "succeeded"
    assert run.rerun(input="again").result(timeout=PATIENCE) == "again"
    assert [each.status for each in task.runs(page_size=1)] == ["succeeded"] * 3


def test_a_run_that_fails_is_an_exception_with_the_run(rota: Rota, name: str) -> None:
    declare(rota, name, handler="refuse")

    with pytest.raises(RunFailed, match="no such customer") as caught:
        rota.task(name).run().result(timeout=PATIENCE)

    assert caught.value.run.attempts[0].error is not None
    (group,) = rota.runs.groups(task=name).items
    assert (group.count, group.example) == (1, caught.value.run.id)


def test_a_run_is_cancelled(rota: Rota, name: str) -> None:
    declare(rota, name, handler="hold")
    task = rota.task(name)
    run = task.run()
    eventually(lambda: run.read().status == "running")
    with pytest.raises(Overlap) as caught:
        task.run()
    assert caught.value.members["run"]

    assert run.cancel().cancel_requested_at is not None

    with pytest.raises(RunCancelled, match="has been cancelled"):
        run.result(timeout=PATIENCE)
    with pytest.raises(WrongStatus):
        run.cancel()


def test_logs_are_listed_and_followed(rota: Rota, name: str) -> None:
    declare(rota, name, handler="talk", input=3)
    run = rota.task(name).run()

    with run.follow() as lines:
        followed = [line.message for line in lines]

    assert followed == ["line 1", "line 2", "line 3", "that was all"]
    assert [line.message for line in run.logs(page_size=2)] == followed
    assert run.lineage().runs[0].id == run.id
    assert run.kv_changes().all() == []


def test_tasks_are_registered_changed_and_removed(rota: Rota, name: str) -> None:
    made = rota.tasks.create(name=name, handler="echo", schedule=YEARLY, tags=["a"])
    assert (made.outcome, made.status) == ("created", "active")
    with pytest.raises(TaskExists) as caught:
        rota.tasks.create(name=name, handler="echo", schedule=YEARLY)
    assert caught.value.members["task"]["name"] == name
    kept = rota.tasks.create(name=name, handler="echo", schedule=MANUAL, on_conflict="keep")
    assert (kept.outcome, kept.differs) == ("kept", True)

    task = rota.task(name)
    assert task.declare(handler="echo", schedule=YEARLY, tags=["a"]).outcome == "unchanged"
    with pytest.raises(PreconditionFailed):
        task.declare(handler="echo", schedule=YEARLY, if_absent=True)
    assert task.preview(tags=["b"]).changes[0].path == "/tags"
    changed = task.update(tags=["b"], timeout=timedelta(minutes=2), if_match=f'"{made.id}.1"')
    assert (changed.tags, changed.timeout, changed.generation) == (("b",), 120.0, 2)
    assert rota.tasks.preview_declaration(name, handler="echo", schedule=MANUAL).result == "updated"
    assert rota.tasks.preview(handler="echo", schedule=MANUAL).result == "created"

    paused = task.pause("maintenance")
    assert (paused.status, paused.status_reason) == ("paused", "maintenance")
    assert task.resume(catch_up="once").status == "active"
    assert len(task.upcoming(2)) == 2
    assert task.explain(datetime(2999, 1, 2, tzinfo=UTC)).expected is False
    assert task.cancel().status == "cancelled"
    task.delete()
    with pytest.raises(NotFound):
        task.read()


def test_lists_are_read_to_their_end(rota: Rota, name: str) -> None:
    items = [
        {"name": f"{name}-{n}", "handler": "echo", "schedule": MANUAL, "tags": [name]}
        for n in range(5)
    ]
    assert rota.tasks.preview_batch(items).created == 5
    assert rota.tasks.batch(items).created == 5
    listed = rota.tasks.list(tag=name, page_size=2, total=True)

    assert [task.name for task in listed] == [item["name"] for item in items]
    assert [len(page.items) for page in listed.pages()] == [2, 2, 1]
    assert listed.page().members["total"] == 5
    assert [task.name for task in listed.take(3)] == [f"{name}-{n}" for n in range(3)]
    assert len(listed.all()) == 5
    first = listed.first()
    assert first is not None
    assert first.name == f"{name}-0"
    assert rota.tasks.list(tag=f"{name}-none").first() is None
    done = rota.tasks.bulk("pause", {"tags": [name]}, reason="test")
    assert (done.matched, done.changed) == (5, 5)


@pytest.mark.parametrize(
    ("call", "kind"),
    [
        (lambda rota: rota.tasks.create(handler="nope", schedule=MANUAL), UnknownHandler),
        (lambda rota: rota.tasks.create(handler="greet", schedule=MANUAL), InvalidInput),
        (lambda rota: rota.tasks.create(handler="echo", schedule={"type": "cron"}), Invalid),
        (lambda rota: rota.tasks.read("nope"), NotFound),
        (lambda rota: rota.tasks.list(status="asleep").all(), InvalidFilter),
        (lambda rota: rota.request("GET", "/v1/tasks", query={"colour": 1}), UnknownParameter),
        (lambda rota: rota.keys.create("ci", ["admin"]), FirstKey),
        (
            lambda rota: rota.secrets.declare("crm", ["https://crm.example"], value="s" * 20),
            NoEncryptionKeys,
        ),
    ],
)
def test_a_refusal_is_an_exception_of_its_class(
    rota: Rota, call: Callable[[Rota], object], kind: type[Exception]
) -> None:
    with pytest.raises(kind) as caught:
        call(rota)

    assert type(caught.value) is kind


def test_a_fault_says_where_it_is(rota: Rota) -> None:
    with pytest.raises(Invalid) as caught:
        rota.tasks.create(handler="echo", schedule={"type": "cron", "expression": "x"})

    assert caught.value.errors[0].pointer == "/schedule/expression"
    assert caught.value.request_id


def test_what_happens_within_the_block_is_heard(rota: Rota, name: str) -> None:
    with rota.events.listen(task=name, type="task.*") as events:
        declare(rota, name)
        rota.task(name).pause()
        heard = [next(events) for _ in range(2)]
    rota.task(name).resume()
    with rota.events.listen(task=name, after=events.position) as events:
        heard.append(next(events))

    assert [event.type for event in heard] == ["task.created", "task.paused", "task.resumed"]
    assert heard[0].data["task"] == name
    assert heard[0].timestamp.tzinfo is not None


def test_queues_handlers_holds_and_calendars_are_declared(rota: Rota, name: str) -> None:
    assert rota.queues.declare(name, concurrency=2).concurrency == 2
    assert rota.queues.read(name).paused is False
    assert name in [queue.name for queue in rota.queues.list()]
    rota.queues.delete(name)

    assert rota.handlers.declare(name, timeout=5).isolation == "outside"
    assert rota.handlers.read(name).timeout == 5.0
    assert rota.queues.lease(name, [name]) == []
    rota.handlers.delete(name)

    until = datetime(2999, 1, 1, tzinfo=UTC)
    hold = rota.holds.declare(name, {"tags": [name]}, until=until, reason="r", count=True)
    assert (hold.until, hold.tasks, hold.status) == (until, 0, "active")
    assert rota.holds.read(name, count=True).tasks == 0
    rota.holds.delete(name)
    assert name in [hold.name for hold in rota.holds.list(ended=True)]
    assert name not in [hold.name for hold in rota.holds.list()]

    calendar = rota.calendars.declare(name, dates=[until.date()], if_absent=True)
    assert calendar.dates == ("2999-01-01",)
    assert name in [calendar.name for calendar in rota.calendars.list()]
    rota.calendars.delete(name)
    with pytest.raises(NotFound):
        rota.calendars.read(name)


def test_what_happened_and_what_comes_is_read(rota: Rota, name: str) -> None:
    declare(rota, name, tags=[name], schedule={"type": "interval", "every": "1h"})
    rota.task(name).run().result(timeout=PATIENCE)

    assert rota.stats.read("24h", task=name).runs.total == 1
    assert rota.task(name).stats().runs.by_status["succeeded"] == 1
    assert sum(hour.succeeded for hour in rota.stats.hours(2)) >= 1
    assert rota.upcoming.read(tag=name).items[0].task == name
    assert rota.upcoming.hours(tag=name, days=1).tasks == 1
    assert name in rota.upcoming.icalendar(task=name)
    assert rota.alerts.list(task=name).all() == []
    assert rota.task(name).alerts().all() == []
    assert rota.audit.list(task=name).take(1)[0].data.subject.task == name
    preview = rota.schedules.preview(YEARLY, count=1, from_=datetime(2026, 6, 1, tzinfo=UTC))
    assert preview.fire_times[0].at == datetime(2027, 1, 1, tzinfo=UTC)
    assert rota.system.ready().status == "ok"
    assert rota.system.health().status == "ok"
    assert rota.system.replicas()[0].self
    assert "rota_runs_total" in rota.system.metrics()
    assert rota.keys.own().scopes
    assert rota.keys.list().all() == []
    assert rota.secrets.list().all() == []
    assert rota.task(name).backfills().all() == []


def test_runs_are_repeated_in_bulk_after_a_preview(rota: Rota, name: str) -> None:
    declare(rota, name, tags=[name])
    rota.task(name).run().result(timeout=PATIENCE)

    preview = rota.bulk.rerun({"tags": [name]}, dry_run=True)
    assert (preview.status, preview.runs) == ("previewed", 1)
    done = rota.bulk.confirm(preview.id, wait=PATIENCE)

    assert (done.status, done.results.done) == ("finished", 1)
    (item,) = rota.bulk.items(done.id, result="done")
    assert item.new_run is not None
    assert rota.run(item.new_run).wait(PATIENCE).rerun_of == item.run
    assert done.id in [each.id for each in rota.bulk.list()]
    assert rota.bulk.read(done.id).verb == "rerun"
    assert rota.bulk.delete({"tags": [name]}, wait=PATIENCE).results.done == 2


def test_fire_times_are_run_again(rota: Rota, name: str) -> None:
    declare(rota, name, schedule={"type": "cron", "expression": "0 * * * *"})
    task = rota.task(name)
    span = ("2026-01-01T00:00:00Z", datetime(2026, 1, 1, 1, tzinfo=UTC))

    assert task.backfill(*span, dry_run=True).runs == 2
    begun = task.backfill(*span, max_concurrent=2)

    assert begun.backfill_id is not None
    assert task.read_backfill(begun.backfill_id).runs == 2
    assert [each.id for each in task.backfills()] == [begun.backfill_id]
    runs = rota.runs.list(backfill_id=begun.backfill_id, status="succeeded")
    eventually(lambda: len(runs.all()) == 2)
    assert task.cancel_backfill(begun.backfill_id).finished_at is not None


def test_the_async_half_does_the_same(connected: Callable[..., None], name: str) -> None:
    async def use(rota: AsyncRota) -> None:
        await rota.tasks.declare(name, handler="echo", schedule=MANUAL, tags=[name])
        run = await rota.task(name).run({"n": 1})
        assert await run.result(timeout=PATIENCE) == {"n": 1}
        assert [task.name async for task in rota.tasks.list(tag=name)] == [name]
        assert [page.items[0].id async for page in rota.runs.list(task=name).pages()] == [run.id]
        with pytest.raises(NotFound):
            await rota.tasks.read(f"{name}-none")
        assert await rota.request("GET", "/v1/keys/self")

    connected(use)
