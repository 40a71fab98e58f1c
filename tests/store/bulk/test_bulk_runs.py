"""Bulk operations on runs: selected, confirmed, executed write by write, each run with one result."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import create_engine, event, select, text, update

from rota.db import tables
from rota.domain.access.names import NameLimit
from rota.domain.access.quotas import Counted, Quota
from rota.domain.access.scopes import Scope
from rota.domain.bulk.model import Bulk, BulkStatus, BulkVerb, Item, ItemResult, Refusal, Request
from rota.domain.bulk.selector import RunSelector
from rota.domain.effects import BulkChanged
from rota.domain.primitives.ids import Id
from rota.domain.primitives.json import json_text
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import Failed
from rota.domain.runs.status import RunStatus, Trigger
from rota.errors import Conflict, NotFound
from rota.store.access.changes import CreateKey, RevokeKey
from rota.store.bulk import changes, reruns
from rota.store.bulk.advance import AdvanceBulk
from rota.store.bulk.changes import (
    CONFIRMABLE_FOR,
    KEPT_FOR,
    BeginBulk,
    CancelBulk,
    Changed,
    ConfirmBulk,
    RemoveOldBulks,
)
from rota.store.bulk.rows import find_bulk, list_bulks, list_items, results, results_of
from rota.store.bulk.rows import running as running_bulks
from rota.store.bulk.selection import select_runs
from rota.store.tasks.ping import Ping
from tests.support.factories import BROKEN, DAY, HOUR, MINUTE, World

MANUAL: dict[str, Any] = {"schedule": {"type": "manual"}, "retry": {"max_attempts": 1}}
EVERY = tuple(ItemResult)
LARGE = "x" * 20_000


def begin(
    world: World,
    verb: str,
    *,
    confirmed: bool = True,
    quota: Quota | None = None,
    by: str = "me",
    **fields: Any,
) -> Bulk:
    """Begin an operation; fields are those of the request, or of its selector."""
    own = {
        name: fields.pop(name) for name in ("input", "max_concurrent", "limit") if name in fields
    }
    selector = RunSelector.model_validate(fields or {"all": True})
    request = Request(verb=BulkVerb(verb), selector=selector, **own)
    selection = world.read(select_runs, request)
    return world.do(
        BeginBulk(request=request, selection=selection, by=by, confirmed=confirmed, quota=quota)
    )


def advance(world: World, bulk: Bulk, limit: int = 100, **fields: Any) -> Bulk:
    """Make one write of an operation; return it as it is then."""
    world.do(AdvanceBulk(read=bulk, limit=limit, **fields))
    return world.read(find_bulk, bulk.id)


def execute(world: World, bulk: Bulk) -> list[Item]:
    """Execute an operation to its end; return the items."""
    while bulk.status is BulkStatus.RUNNING:
        bulk = advance(world, bulk, 2)
    assert bulk.status is BulkStatus.FINISHED
    return items(world, bulk)


def items(world: World, bulk: Bulk, wanted: Sequence[ItemResult] = EVERY) -> list[Item]:
    return world.read(list_items, bulk, wanted, pending=True, after=-1, limit=1_000)


def outcomes(found: Sequence[Item]) -> list[str]:
    return [each.problem or str(each.result) for each in found]


def failed(world: World, number: int, name: str = "t", **fields: Any) -> list[Id]:
    """Register a task with so many failed runs; return these, oldest first."""
    world.register(name, **MANUAL | fields)
    ids = []
    for _ in range(number):
        claimed = world.start(name)
        world.end(claimed, BROKEN)
        ids.append(claimed.id)
        world.clock.advance(MINUTE)
    return ids


def test_reruns_are_made_in_the_order_of_the_fire_times_each_with_the_input_it_had(
    world: World,
) -> None:
    ids = failed(world, 3, input={"n": 1})
    done = execute(world, begin(world, "rerun", task=["t"], status=["failed"]))
    assert [each.run_id for each in done] == ids
    assert outcomes(done) == ["done"] * 3
    made = [world.run(each.new_run_id) for each in done if each.new_run_id]
    assert [each.rerun_of for each in made] == ids
    assert {each.trigger for each in made} == {Trigger.RERUN}
    assert [each.chain for each in made] == ids
    assert {each.input for each in made} == {'{"n":1}'}
    assert [each.scheduled_for for each in made] == [world.run(id).scheduled_for for id in ids]


def test_reruns_of_a_task_that_skips_on_overlap_wait_for_each_other(world: World) -> None:
    failed(world, 3, overlap_policy="skip")
    done = execute(world, begin(world, "rerun", task=["t"]))
    first, second, third = (world.run(each.new_run_id) for each in done if each.new_run_id)
    assert first.status is RunStatus.QUEUED
    assert second.waiting_on == (f"overlap:{first.id}",)
    assert third.waiting_on == (f"overlap:{second.id}",)


def test_a_rerun_is_refused_where_the_task_skips_on_overlap_and_is_busy_with_another_run(
    world: World,
) -> None:
    failed(world, 2, overlap_policy="skip")
    failed(world, 1, "free")
    world.run_now("t")
    done = execute(world, begin(world, "rerun", status=["failed"]))
    assert [(each.task, each.problem) for each in done] == [
        ("t", "overlap"),
        ("t", "overlap"),
        ("free", None),
    ]


def test_a_line_that_is_full_is_waited_for(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("rota.store.bulk.reruns.MOST_BUFFERED", 1)
    failed(world, 4, overlap_policy="skip")
    bulk = advance(world, begin(world, "rerun", task=["t"]))
    assert (bulk.status, bulk.position) == (BulkStatus.RUNNING, 2)
    assert advance(world, bulk).position == 2
    world.succeed(world.claim()[0])
    assert advance(world, bulk).position == 3


def test_a_rerun_takes_the_input_of_the_operation_unless_the_handler_does_not_accept_it(
    world: World,
) -> None:
    failed(world, 1, "fits", input=1)
    failed(world, 1, "misfits", handler="other", input=1)
    bulk = begin(world, "rerun", input='{"n":2}')
    done = items(world, advance(world, bulk, unfit={"other": "/input: no."}))
    assert outcomes(done) == ["done", "invalid-input"]
    assert done[0].new_run_id
    assert world.run(done[0].new_run_id).input == '{"n":2}'


def test_reruns_beyond_the_quota_of_the_key_are_refused(world: World) -> None:
    failed(world, 3, overlap_policy="allow")
    quota = Quota(Counted.UNFINISHED_RUNS, 2, NameLimit(("t",)))
    done = execute(world, begin(world, "rerun", quota=quota, task=["t"]))
    assert outcomes(done) == ["done", "done", "quota-exceeded"]


def test_runs_of_a_cancelled_task_are_not_run_again(world: World) -> None:
    failed(world, 1)
    world.cancel("t")
    bulk = begin(world, "rerun", task=["t"])
    assert [(each.slug, each.runs) for each in bulk.foreseen] == [("wrong-status", 1)]
    assert outcomes(execute(world, bulk)) == ["wrong-status"]


def test_waiting_runs_are_cancelled_and_running_ones_are_requested_to_end(world: World) -> None:
    world.register("t", **MANUAL, overlap_policy="allow")
    running = world.start("t")
    world.clock.advance(MINUTE)
    waiting = world.run_now("t")
    done = execute(world, begin(world, "cancel", task=["t"]))
    assert outcomes(done) == ["done", "done"]
    assert world.run(waiting.id).status is RunStatus.CANCELLED
    assert world.run(running.id).cancel_requested_at is not None


def test_a_successor_of_a_cancelled_run_is_notified_in_the_same_commit(world: World) -> None:
    world.register("t", **MANUAL)
    world.register("next", schedule={"type": "after", "tasks": ["t"]})
    world.run_now("t")
    execute(world, begin(world, "cancel", task=["t"]))
    assert [(each.status, each.reason) for each in world.runs("next")] == [
        (RunStatus.SKIPPED, "predecessor")
    ]


def test_deleted_runs_leave_nothing_behind_and_unfinished_ones_are_refused(world: World) -> None:
    ids = failed(world, 2)
    waiting = world.run_now("t")
    done = execute(world, begin(world, "delete", task=["t"]))
    assert outcomes(done) == ["done", "done", "wrong-status"]
    assert [each.id for each in world.runs()] == [waiting.id]
    assert world.count(tables.attempt, tables.attempt.c.run_id.in_(ids)) == 0
    assert world.task().last_run is None


def test_the_last_run_of_a_task_is_then_the_one_before(world: World) -> None:
    first, second = failed(world, 2)
    bulk = begin(world, "delete", scheduled_from=world.run(second).scheduled_for)
    assert [each.run_id for each in execute(world, bulk)] == [second]
    last = world.task().last_run
    assert last is not None
    assert last.id == first


def test_fire_times_that_are_skipped_after_a_deleted_span_begin_a_new_one(world: World) -> None:
    world.register("t")
    world.pause("t")
    world.clock.advance(3 * MINUTE)
    world.resume("t")
    [gap] = world.runs()
    execute(world, begin(world, "delete", task=["t"]))
    with world.database.read() as connection:
        kept = select(tables.task.c.gap_run_id).where(tables.task.c.name == "t")
        assert connection.execute(kept).scalar_one() is None
    assert gap.status is RunStatus.SKIPPED


def test_a_run_whose_result_a_successor_still_needs_is_not_deleted(world: World) -> None:
    for name in ("a", "b"):
        world.register(name, **MANUAL)
    world.register("next", schedule={"type": "after", "tasks": ["a", "b"]})
    world.succeed(world.start("a"))
    [refused] = execute(world, begin(world, "delete", task=["a"]))
    assert refused.problem == "run-in-use"
    assert "'next'" in str(refused.detail)
    world.succeed(world.start("b"))
    assert outcomes(execute(world, begin(world, "delete", task=["a"]))) == ["done"]


@pytest.mark.parametrize("ours", [(), ("a-next",)])
def test_a_successor_of_another_team_that_needs_a_run_is_not_named(
    world: World, ours: tuple[str, ...]
) -> None:
    for name in ("a", "b"):
        world.register(name, **MANUAL)
    for name in ("Z-theirs", *ours):
        world.register(name, schedule={"type": "after", "tasks": ["a", "b"]})
    world.succeed(world.start("a"))

    [refused] = execute(world, begin(world, "delete", task=["a"], limit=NameLimit(("a",))))

    named = "Task 'a-next'" if ours else "A task that this key may not see"
    assert str(refused.detail).startswith(f"{named} takes its result")


def test_the_last_ping_of_a_task_that_is_watched_is_not_deleted(world: World) -> None:
    world.register("t", **MANUAL)
    for _ in range(2):
        world.do(Ping(task="t", status="succeeded"))
        world.clock.advance(MINUTE)
    with world.transaction() as tx:
        tx.connection.execute(update(tables.task).values(watched_from=world.now))
    assert outcomes(execute(world, begin(world, "delete", task=["t"]))) == ["done", "run-in-use"]


def test_a_preview_does_nothing_and_shows_what_it_would_do(world: World) -> None:
    ids = failed(world, 2)
    waiting = world.run_now("t")
    bulk = begin(world, "rerun", confirmed=False, task=["t"])
    assert bulk.status is BulkStatus.PREVIEWED
    assert bulk.statuses == {"queued": 1, "failed": 2}
    assert [(each.slug, each.runs) for each in bulk.foreseen] == [("wrong-status", 1)]
    assert [each[:4] for each in items(world, bulk)] == [
        (position, id, "t", None) for position, id in enumerate([*ids, waiting.id])
    ]
    assert advance(world, bulk) == bulk
    assert len(world.runs()) == 3


def test_what_was_previewed_is_executed_and_nothing_that_came_since(world: World) -> None:
    ids = failed(world, 2)
    bulk = begin(world, "rerun", confirmed=False, status=["failed"])
    late = world.start("t")
    world.end(late, BROKEN)
    confirmed = world.do(ConfirmBulk(id=bulk.id, by="you"))
    assert confirmed.now
    assert [each.run_id for each in execute(world, confirmed.bulk)] == ids
    assert not world.do(ConfirmBulk(id=bulk.id, by="you")).now


def test_a_run_that_has_changed_since_the_preview_is_left_alone(world: World) -> None:
    world.register("t", **MANUAL, overlap_policy="allow", tags=["x"])
    ended, kept = world.run_now("t"), world.run_now("t")
    bulk = begin(world, "cancel", confirmed=False, all_tags=["x"])
    world.succeed(next(each for each in world.claim() if each.id == ended.id))
    done = execute(world, world.do(ConfirmBulk(id=bulk.id, by="you")).bulk)
    assert {each.run_id: each.result for each in done} == {
        ended.id: ItemResult.CHANGED,
        kept.id: ItemResult.DONE,
    }
    assert world.run(ended.id).status is RunStatus.SUCCEEDED


def test_a_run_that_is_gone_or_of_a_task_that_is_not_selected_any_more_is_left_alone(
    world: World,
) -> None:
    failed(world, 2, tags=["x"])
    failed(world, 1, "gone", tags=["x"])
    bulk = begin(world, "rerun", tags=["x"])
    world.delete("gone")
    world.register("t", **MANUAL, on_conflict="update", tags=["y"])
    assert outcomes(execute(world, bulk)) == ["changed"] * 3
    assert not [each for each in world.runs() if each.trigger is Trigger.RERUN]


def test_a_preview_can_be_confirmed_for_an_hour(world: World) -> None:
    failed(world, 1)
    bulk = begin(world, "rerun", confirmed=False, task=["t"])
    world.clock.advance(CONFIRMABLE_FOR)
    with pytest.raises(Conflict, match="make a new preview"):
        world.do(ConfirmBulk(id=bulk.id, by="you"))


def test_a_cancelled_operation_leaves_the_runs_alone_that_were_left(world: World) -> None:
    failed(world, 3, overlap_policy="allow")
    bulk = advance(world, begin(world, "rerun", task=["t"]), 1)
    cancelled = world.do(CancelBulk(id=bulk.id)).bulk
    assert advance(world, bulk) == cancelled
    assert outcomes(items(world, cancelled)) == ["done", "None", "None"]
    assert world.do(CancelBulk(id=bulk.id)) == Changed(bulk=cancelled, now=False)
    with pytest.raises(Conflict):
        world.do(ConfirmBulk(id=bulk.id, by="you"))


def test_a_write_that_another_replica_has_made_is_not_made_again(world: World) -> None:
    failed(world, 2, overlap_policy="allow")
    bulk = begin(world, "rerun", task=["t"])
    advance(world, bulk)
    assert world.do(AdvanceBulk(read=bulk, limit=100)).runs == 0
    assert Counter(each.trigger for each in world.runs()) == {Trigger.MANUAL: 2, Trigger.RERUN: 2}


def test_a_run_that_cannot_be_dealt_with_gets_that_as_its_result(world: World) -> None:
    failed(world, 2, overlap_policy="allow")
    bulk = advance(world, begin(world, "rerun", task=["t"]), failed=Refusal("internal", "broken"))
    assert bulk.position == 1
    assert outcomes(execute(world, bulk)) == ["internal", "done"]


def test_a_selector_matches_runs_by_all_its_fields(world: World) -> None:
    failed(world, 2, "a", tags=["x", "y"])
    failed(world, 1, "b", tags=["x"])

    def found(**wanted: Any) -> int:
        return begin(world, "rerun", confirmed=False, **wanted).runs

    assert found(all=True) == 3
    assert found(task=["a"]) == 2
    assert (found(tags=["x", "y"]), found(all_tags=["x", "y"])) == (3, 2)
    assert (found(error=["ValueError"]), found(error=["BROK"])) == (3, 3)
    assert (found(error=["%"]), found(error=["b_oken", "broken/"])) == (0, 0)
    # The names of fields, and what is no message.
    assert found(error=["message", "type", "traceback", "null"]) == 0
    assert found(reason=["attempts_exhausted", "error"], trigger=["manual"]) == 3
    assert found(status=["succeeded"]) == 0
    assert found(finished_to="2001-01-01T00:00:00Z") == 0
    assert found(finished_from="2001-01-01T00:00:00Z") == 3


def test_a_selector_finds_a_text_in_the_message_and_not_in_the_rest_of_an_error(
    world: World,
) -> None:
    """An answer of a target is no message, nor are the phases of a call, which every failed one has."""
    world.register("t", **MANUAL)
    reply = ErrorResponse(
        503, {"traceback": "x"}, 'tls","message":"tls","traceback":', url_path="/"
    )
    error = RunError(
        "http.status", 'the "100%" of \\ it\n', response=reply, timings={"connect": 0.1}
    )
    world.end(world.start("t"), Failed(error))

    def found(text: str) -> int:
        return begin(world, "rerun", confirmed=False, error=[text]).runs

    assert [found(text) for text in ("tls", "503", "connect", "timings")] == [0] * 4
    assert [found(text) for text in ('THE "100%"', "\\ it\n", "HTTP.status", "http.status")] == [
        *(1, 1, 0, 1)
    ]


@pytest.mark.parametrize("given", [None, LARGE])
def test_one_write_copies_no_more_than_some_bytes_of_inputs(
    world: World, monkeypatch: pytest.MonkeyPatch, given: str | None
) -> None:
    """A write of 200 runs with a mebibyte each would hold all of them, and the writer for as long."""
    monkeypatch.setattr(reruns, "MOST_BYTES", 30_000)
    failed(world, 3, input=LARGE if given is None else None, overlap_policy="allow")
    again: dict[str, Any] = {} if given is None else {"input": json_text.dumps(given)}

    bulk = advance(world, begin(world, "rerun", task=["t"], **again))

    assert bulk.position == 1
    assert outcomes(execute(world, bulk)) == ["done"] * 3
    assert {run.input for run in world.runs(trigger=("rerun",))} == {json_text.dumps(LARGE)}


def test_a_list_of_operations_is_without_large_inputs(world: World) -> None:
    large, small = (
        begin(world, "rerun", all=True, input=json_text.dumps(given)) for given in (LARGE, "x")
    )
    own = begin(world, "rerun")

    assert world.read(list_bulks, NameLimit(), None, 10) == [
        *(own, small),
        replace(large, request=replace(large.request, input=None), input_left_out=True),
    ]


def test_more_runs_than_one_operation_takes_are_cut_off(world: World) -> None:
    ids = failed(world, 3)
    request = Request(verb=BulkVerb.RERUN, selector=RunSelector(all=True))
    found = world.read(select_runs, request, most=2)
    assert (found.run_ids, found.truncated) == (ids[:2], True)


def test_a_limited_key_selects_sees_and_confirms_only_what_is_of_its_tasks(world: World) -> None:
    failed(world, 1, "mine")
    failed(world, 1, "theirs")
    mine, theirs = NameLimit(("mi",)), NameLimit(("th",))
    bulk = begin(world, "rerun", confirmed=False, limit=mine)
    assert [each.task for each in items(world, bulk)] == ["mine"]
    everything = begin(world, "rerun", confirmed=False)
    assert world.read(list_bulks, mine, None, 10) == [bulk]
    assert world.read(list_bulks, NameLimit(), None, 1) == [everything]
    assert world.read(list_bulks, theirs, None, 10) == []
    with pytest.raises(NotFound):
        world.do(ConfirmBulk(id=bulk.id, by="them", limit=theirs))
    with pytest.raises(NotFound):
        world.do(CancelBulk(id=everything.id, limit=mine))


def test_items_are_listed_by_result_and_across_rows_of_the_selection(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("rota.store.bulk.selection.IN_A_ROW", 2)
    ids = failed(world, 5, overlap_policy="allow")
    bulk = advance(world, begin(world, "rerun", task=["t"]), 2)
    assert [each.run_id for each in items(world, bulk)][:4] == ids[:4]
    pending = world.read(list_items, bulk, (), pending=True, after=2, limit=10)
    assert [each.run_id for each in pending] == ids[3:]
    assert outcomes(execute(world, bulk)) == ["done"] * 5
    assert world.read(results, bulk) == {ItemResult.DONE: 5}


def test_old_operations_are_removed_in_small_steps(world: World) -> None:
    failed(world, 3, overlap_policy="allow")
    begin(world, "rerun", confirmed=False, task=["t"])
    execute(world, begin(world, "rerun", task=["t"]))
    going_on = begin(world, "cancel", task=["t"])
    assert world.do(RemoveOldBulks(2)) == 0
    world.clock.advance(DAY + HOUR)
    assert world.do(RemoveOldBulks(2)) == 1
    world.clock.advance(KEPT_FOR)
    assert [world.do(RemoveOldBulks(2)) for _ in range(4)] == [2, 1, 1, 0]
    assert world.read(list_bulks, NameLimit(), None, 10) == [going_on]
    assert world.count(tables.bulk_item) == 0
    assert world.count(tables.bulk_selection) == 1


def test_the_results_of_a_page_of_operations_are_counted_with_one_statement(world: World) -> None:
    failed(world, 3, overlap_policy="allow")
    ended = begin(world, "rerun", task=["t"])
    execute(world, ended)
    preview, other = begin(world, "delete", confirmed=False), begin(world, "cancel", task=["t"])
    execute(world, other)
    executed: list[str] = []
    with world.database.read() as connection:
        event.listen(connection, "before_cursor_execute", lambda *given: executed.append(given[2]))
        counted = results_of(connection, [ended, preview, other])

    assert counted == {
        ended.id: {ItemResult.DONE: 3},
        preview.id: {},
        other.id: {ItemResult.DONE: 3, ItemResult.REFUSED: 3},
    }
    assert len([each for each in executed if "bulk_item" in each]) == 1


def test_the_oldest_previews_of_a_client_beyond_a_hundred_are_removed(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(changes, "MOST_PREVIEWS", 2)
    failed(world, 1)
    theirs = begin(world, "delete", confirmed=False, by="them")
    first, second = (begin(world, "delete", confirmed=False) for _ in range(2))
    world.do(ConfirmBulk(id=first.id, by="me"))
    executed = begin(world, "cancel")

    third, fourth = (begin(world, "delete", confirmed=False) for _ in range(2))

    kept = [each.id for each in world.read(list_bulks, NameLimit(), None, 10)]
    assert kept == [fourth.id, third.id, executed.id, first.id, theirs.id]
    with pytest.raises(NotFound):
        world.do(ConfirmBulk(id=second.id, by="me"))
    assert world.count(tables.bulk_selection) == 5


@pytest.mark.parametrize(("revoked", "word"), [(True, "was revoked"), (False, "has expired")])
def test_an_operation_ends_before_its_next_write_when_its_key_is_not_accepted_any_more(
    world: World, *, revoked: bool, word: str
) -> None:
    failed(world, 3, overlap_policy="allow")
    key = world.do(
        CreateKey(name="CI", scopes=(Scope.RUNS_WRITE,), expires_at=world.now + HOUR, by="me")
    ).stored
    preview = begin(world, "rerun", confirmed=False, task=["t"])
    running = world.do(ConfirmBulk(id=preview.id, by=key.principal.label)).bulk
    running = advance(world, running, 1)

    if revoked:
        world.do(RevokeKey(id=key.id, by="me"))
    else:
        world.clock.advance(HOUR)
    world.effects.clear()
    ended = advance(world, running)

    assert (ended.status, ended.position) == (BulkStatus.CANCELLED, 1)
    assert (ended.finished_at, ended.reason) == (world.now, f"The key {key.id} (CI) {word}.")
    assert BulkChanged(ended.id) in world.effects
    assert world.count(tables.run, tables.run.c.trigger == "rerun") == 1
    assert world.read(running_bulks) == []


@pytest.mark.parametrize("by", ["local", "key:1", "cli"])
def test_an_operation_of_a_client_without_a_stored_key_continues(world: World, by: str) -> None:
    failed(world, 1)
    assert outcomes(execute(world, begin(world, "rerun", task=["t"], by=by))) == ["done"]


def test_an_operation_without_runs_has_finished(world: World) -> None:
    assert begin(world, "rerun", task=["none"]).status is BulkStatus.FINISHED


def test_one_replica_leaves_an_operation_to_another_that_is_at_it(world: World) -> None:
    failed(world, 1)
    bulk = begin(world, "rerun", task=["t"])
    if world.is_sqlite:
        return  # there is one writer
    lock = text("SELECT pg_advisory_xact_lock(hashtextextended(:name, 0))")
    engine = create_engine(world.database.url)
    with engine.connect() as other:
        other.execute(lock, {"name": f"rota:bulk:{bulk.id}"})
        assert advance(world, bulk) == bulk
        other.rollback()
    engine.dispose()
    assert advance(world, bulk).status is BulkStatus.FINISHED
