"""Removes one guard after another from the store, and reports whether the suite notices.

`python -m tests.support.guards` runs, for each guard, its tests with the guard removed, and prints as
JSON which of them failed. `tests/store/test_guards.py` expects that all fail, and that all pass with every guard in
place.
"""

import json
import sys
from collections import Counter
from collections.abc import Callable
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from rota.db.bulk import Bulk
from rota.db.tables import run
from rota.store.runs import queues
from rota.store.runs.insertion import COLUMNS

STORE = Path(__file__).parents[1] / "store"
Remove = Callable[[pytest.MonkeyPatch, pytest.FixtureRequest], None]


@dataclass(frozen=True)
class Guard:
    """How to remove a guard, and the tests that must fail then."""

    remove: Remove
    tests: tuple[str, ...]


def _true(*places: str) -> Remove:
    def remove(patch: pytest.MonkeyPatch, _request: pytest.FixtureRequest) -> None:
        for place in places:
            patch.setattr(place, lambda *_: sa.true())

    return remove


def _nothing(place: str, empty: Any) -> Remove:
    def remove(patch: pytest.MonkeyPatch, _request: pytest.FixtureRequest) -> None:
        patch.setattr(place, lambda *_: empty)

    return remove


def _no_counts(place: str) -> Remove:
    def remove(patch: pytest.MonkeyPatch, _request: pytest.FixtureRequest) -> None:
        patch.setattr(place, lambda *_: Counter())

    return remove


def _allow_doubles(patch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> None:
    plain = Bulk(sa.insert(run), COLUMNS)
    patch.setattr("rota.store.runs.insertion._SQLITE_INSERT", plain)
    with request.getfixturevalue("world").transaction() as tx:
        tx.connection.execute(sa.text("DROP INDEX uq_run_task_scheduled_for"))


def _lease_for_all(patch: pytest.MonkeyPatch, _request: pytest.FixtureRequest) -> None:
    patch.setattr("rota.store.runs.claiming.leasing.OfCoveredTask", lambda _: sa.true)


def _claim_without_looking(patch: pytest.MonkeyPatch, _request: pytest.FixtureRequest) -> None:
    patch.setattr("rota.store.runs.queues.without_holds", sa.true)
    own = queues.not_held
    # Another guard, since the statements are made once for each.
    patch.setattr("rota.store.runs.claiming.starting.not_held", lambda: own())  # noqa: PLW0108


_REPLANNING = "scheduling/test_replanning.py"
_LEASING = "runs/claiming/test_leasing.py"
GUARDS = {
    "finish: status": Guard(
        _true("rota.store.completion.finish.still_running"),
        (
            "completion/test_finish.py::test_an_attempt_of_a_run_that_is_final_writes_nothing[sqlite]",
        ),
    ),
    "finish: attempt": Guard(
        _true("rota.store.completion.finish.same_attempt"),
        (
            "completion/test_finish.py::test_an_attempt_that_was_started_again_writes_nothing[sqlite]",
            "completion/test_postponing.py::test_a_run_that_was_started_again_is_not_postponed_by_the_attempt_before[sqlite]",
        ),
    ),
    "finish: holder": Guard(
        _true("rota.store.completion.finish.same_holder"),
        (
            "completion/test_finish.py::test_a_process_that_does_not_hold_the_run_writes_nothing[sqlite]",
        ),
    ),
    "finish: no cancel since the look": Guard(
        _true("rota.store.completion.finish.same_request"),
        (
            "completion/test_finish.py::test_a_cancel_between_look_and_write_is_not_overlooked[sqlite]",
        ),
    ),
    "finish: kv changed since the snapshot": Guard(
        _nothing("rota.store.completion.kv_writes.PendingEntries.conflict", None),
        (
            "completion/test_conflicts.py::test_a_key_that_was_changed_meanwhile_is_a_conflict[sqlite]",
            "completion/test_conflicts.py::test_many_runs_that_count_together_lose_no_increment[sqlite]",
        ),
    ),
    "finish: grants of other tasks": Guard(
        _nothing("rota.store.completion.kv_writes.is_granted", empty=True),
        (
            "kv/test_shared_tables.py::test_without_a_grant_the_attempt_fails_for_good[sqlite]",
            "kv/test_shared_tables.py::test_a_grant_that_was_taken_back_counts_no_more[sqlite]",
        ),
    ),
    "checkpoint: held": Guard(
        _nothing("rota.store.completion.checkpoint.is_held", empty=True),
        (
            "completion/test_checkpoint.py::test_a_process_that_does_not_hold_the_run_writes_nothing[sqlite]",
            "completion/test_checkpoint.py::test_an_attempt_that_has_lost_its_run_writes_nothing[sqlite-_started_again]",
        ),
    ),
    "reap: holder is gone": Guard(
        _true("rota.store.completion.finish.holder_is_gone"),
        ("completion/test_reaping.py::test_a_live_lease_is_left_alone[sqlite]",),
    ),
    "keys: rotated or revoked concurrently": Guard(
        _true("rota.store.access.changes.unchanged_since"),
        (
            "access/test_keys.py::test_of_two_rotations_at_once_the_second_replaces_the_first[sqlite]",
            "access/test_keys.py::test_a_key_that_is_revoked_meanwhile_is_not_rotated[sqlite]",
        ),
    ),
    "keys: quotas": Guard(
        _nothing("rota.domain.access.quotas.Quota.check", None),
        (
            "access/test_quotas.py::test_a_further_task_is_refused_and_not_written[sqlite]",
            "access/test_quotas.py::test_of_many_requests_at_once_only_as_many_are_taken_as_allowed[sqlite]",
            "access/test_quotas.py::test_a_bulk_run_refuses_the_tasks_beyond_it[sqlite]",
        ),
    ),
    "alerts: times in which nobody watched": Guard(
        _nothing("rota.store.alerts.checks.unwatched_spans", ()),
        (
            "alerts/test_checks.py::test_an_outage_does_not_count[sqlite]",
            "alerts/test_checks.py::test_a_clock_that_is_set_forward_raises_nothing[sqlite]",
        ),
    ),
    "claims: which runs are held": Guard(
        _nothing("rota.store.runs.claiming.starting.block_held", frozenset()),
        (
            "runs/test_holding.py::test_a_run_of_a_held_task_waits_for_the_hold_and_others_start[sqlite]",
            "runs/test_holding.py::test_workers_outside_get_no_run_of_a_held_task[sqlite]",
        ),
    ),
    "claims: whether anything is held": Guard(
        _claim_without_looking,
        (
            "runs/test_holding.py::test_a_run_of_a_held_task_waits_for_the_hold_and_others_start[sqlite]",
            "runs/test_holding.py::test_a_hold_lasts_from_its_start_until_before_its_end[sqlite]",
        ),
    ),
    "alerts: of held tasks": Guard(
        _nothing("rota.store.alerts.edges.Subject.is_silent", empty=False),
        (
            "alerts/test_holds.py::test_a_failure_during_a_hold_raises_nothing_and_the_next_one_does[sqlite]",
        ),
    ),
    "alerts: the time of a hold": Guard(
        _nothing("rota.domain.holds.held.Holds.last_held", None),
        (
            "alerts/test_holds.py::test_a_hold_between_two_looks_counts_as_well[sqlite]",
            "alerts/test_holds.py::test_an_absence_counts_from_the_end_of_the_hold[sqlite-True]",
        ),
    ),
    "alerts: the time of a pause": Guard(
        _nothing("rota.store.task_changes.watched_anew", {}),
        (
            "alerts/test_checks.py::test_what_waited_through_a_pause_is_not_late_for_that[sqlite]",
            "alerts/test_checks.py::test_the_time_of_a_pause_does_not_count[sqlite]",
        ),
    ),
    "secrets: changed concurrently": Guard(
        _true("rota.store.secrets.changes.unchanged_since"),
        ("secrets/test_secrets.py::test_a_concurrent_change_of_a_secret_wins[sqlite]",),
    ),
    "secrets: bound to servers and tasks": Guard(
        _nothing("rota.store.secrets.registration.permits", None),
        (
            "secrets/test_secrets.py::test_a_run_cannot_register_a_task_that_sends_a_secret_elsewhere[sqlite]",
        ),
    ),
    "secrets: sealed with what they are bound to": Guard(
        _nothing("rota.store.sealing.named_secrets.bound_to", ()),
        (
            "secrets/test_secrets.py::test_a_row_that_was_changed_outside_rota_does_not_open[sqlite-origins]",
            "secrets/test_secrets.py::test_a_row_that_was_changed_outside_rota_does_not_open[sqlite-tasks]",
        ),
    ),
    "complete: status": Guard(
        _true("rota.store.completion.complete.still_running"),
        ("completion/test_outside.py::test_a_completion_is_written_once[sqlite]",),
    ),
    "complete: attempt": Guard(
        _true("rota.store.completion.complete.same_attempt"),
        (
            "completion/test_outside.py::test_the_token_of_an_earlier_attempt_completes_nothing[sqlite]",
        ),
    ),
    "hand-off: holder": Guard(
        _true("rota.store.completion.handoff.same_holder"),
        (
            "completion/test_outside.py::test_only_the_process_that_holds_an_attempt_hands_it_off[sqlite]",
        ),
    ),
    "heartbeat: status": Guard(
        _true("rota.store.completion.handoff.still_running"),
        (
            "completion/test_outside.py::test_a_heartbeat_of_an_attempt_that_has_ended_changes_nothing[sqlite]",
        ),
    ),
    "heartbeat: attempt": Guard(
        _true("rota.store.completion.handoff.same_attempt"),
        (
            "completion/test_outside.py::test_a_heartbeat_of_an_earlier_attempt_changes_nothing[sqlite]",
        ),
    ),
    "expire: held by a token": Guard(
        _true("rota.store.completion.expiry.is_leased"),
        (
            "completion/test_outside.py::test_an_attempt_that_a_process_executes_is_ended_by_no_lease[sqlite]",
        ),
    ),
    "claim: live lease": Guard(
        _true("rota.store.runs.claiming.claim.lease_is_live"),
        (
            "runs/claiming/test_claim.py::test_a_claim_is_for_a_holder_with_a_live_lease_only[sqlite]",
        ),
    ),
    "lease: declared handlers": Guard(
        _true("rota.store.runs.claiming.leasing.is_declared"),
        (
            f"{_LEASING}::test_what_a_replica_executes_is_never_leased[sqlite-none]",
            f"{_LEASING}::test_a_handler_that_a_replica_has_taken_over_is_not_leased[sqlite]",
        ),
    ),
    "lease: covered tasks": Guard(
        _lease_for_all,
        (
            f"{_LEASING}::test_a_worker_with_a_limit_gets_only_runs_of_tasks_in_it[sqlite-by nothing]",
            f"{_LEASING}::test_a_worker_with_a_limit_gets_only_runs_of_tasks_in_it[sqlite-by a key]",
        ),
    ),
    "bulk: covered tasks": Guard(
        _true("rota.store.task_rows.covers"),
        (
            "tasks/test_bulk.py::test_only_tasks_in_the_limit_of_a_client_take_the_verb[sqlite-('a-',)]",
        ),
    ),
    "bulk of runs: covered tasks": Guard(
        _true("rota.store.runs.listing.filters.covers"),
        (
            "bulk/test_bulk_runs.py::test_a_limited_key_selects_sees_and_confirms_only_what_is_of_its_tasks[sqlite]",
        ),
    ),
    "bulk of runs: still matched": Guard(
        _nothing("rota.store.bulk.batch.conditions", ()),
        (
            "bulk/test_bulk_runs.py::test_a_run_that_is_gone_or_of_a_task_that_is_not_selected_any_more_is_left_alone[sqlite]",
        ),
    ),
    "bulk of runs: as it was read": Guard(
        _nothing("rota.store.bulk.advance.AdvanceBulk._is_ours", empty=True),
        (
            "bulk/test_bulk_runs.py::test_a_write_that_another_replica_has_made_is_not_made_again[sqlite]",
            "bulk/test_bulk_runs.py::test_a_cancelled_operation_leaves_the_runs_alone_that_were_left[sqlite]",
        ),
    ),
    "read: covered tasks": Guard(
        _true(
            "rota.store.task_rows.covers",
            "rota.store.runs.listing.filters.covers",
            "rota.store.runs.queues.covers",
            "rota.store.runs.queues.of_covered_task",
        ),
        (
            "test_visible_to_keys.py::test_lists_have_only_the_tasks_of_a_limit_and_their_runs[sqlite-limit0-names0]",
            "test_visible_to_keys.py::test_queues_are_those_that_the_tasks_of_a_limit_use[sqlite]",
            "test_visible_to_keys.py::test_a_queue_that_one_may_set_is_shown_once_it_is[sqlite]",
        ),
    ),
    "read: the task of a run": Guard(
        _nothing("rota.domain.access.names.NameLimit.covers", empty=True),
        ("test_visible_to_keys.py::test_a_run_of_another_task_is_not_found[sqlite]",),
    ),
    "lease: plain inputs": Guard(
        _true("rota.store.runs.claiming.leasing.has_plain_input"),
        (f"{_LEASING}::test_a_secret_input_is_never_leased[sqlite]",),
    ),
    "claim: limits, keys and pauses": Guard(
        _true("rota.store.runs.claiming.starting.not_held"),
        (
            "runs/test_queues.py::test_no_more_run_than_the_queue_s_limit[sqlite]",
            "runs/test_queues.py::test_a_paused_queue_starts_nothing_and_its_runs_stay_queued[sqlite]",
            "runs/test_concurrency_keys.py::test_no_more_runs_with_a_key_than_its_limit[sqlite]",
        ),
    ),
    "claim: runs of the queue": Guard(
        _nothing("rota.store.runs.claiming.starting.running_in", 0),
        ("runs/test_queues.py::test_running_runs_count_when_a_limit_is_set[sqlite]",),
    ),
    "claim: runs with the key": Guard(
        _no_counts("rota.store.runs.concurrency_keys.running_with"),
        ("runs/test_concurrency_keys.py::test_a_key_is_shared_by_tasks_and_queues[sqlite]",),
    ),
    "end: the next run with the key is unblocked": Guard(
        _nothing("rota.store.follow_ups.promote", 0),
        ("runs/test_concurrency_keys.py::test_the_best_waiting_run_is_unblocked_first[sqlite]",),
    ),
    "fire: status": Guard(
        _true("rota.store.scheduling.fire.still_active"),
        (
            "scheduling/test_fire.py::test_a_concurrent_change_of_the_task_wins[sqlite-pause]",
            "scheduling/test_fire.py::test_a_concurrent_change_of_the_task_wins[sqlite-cancel]",
        ),
    ),
    "fire: generation": Guard(
        _true("rota.store.scheduling.fire.same_generation"),
        ("scheduling/test_fire.py::test_a_concurrent_change_of_the_task_wins[sqlite-edit]",),
    ),
    "fire: fire time": Guard(
        _true("rota.store.scheduling.fire.same_fire_time"),
        (
            "scheduling/test_fire.py::test_a_concurrent_change_of_the_task_wins[sqlite-fire]",
            "scheduling/test_fire.py::test_two_replicas_that_read_the_same_fire_it_once[sqlite]",
        ),
    ),
    "fire: calendars": Guard(
        _true("rota.store.scheduling.fire.same_calendars"),
        (
            "calendars/test_changes.py::test_what_was_planned_with_days_that_have_changed_does_not_fire[sqlite-days0]",
        ),
    ),
    "fire: moved fire time": Guard(
        _true("rota.store.scheduling.fire.same_move"),
        ("scheduling/test_fire.py::test_a_concurrent_change_of_the_task_wins[sqlite-move]",),
    ),
    "fire: holds": Guard(
        _nothing("rota.store.scheduling.fire.is_current", empty=True),
        (
            "holds/test_fire.py::test_a_plan_that_does_not_know_the_holds_as_they_are_is_not_committed[sqlite-set]",
        ),
    ),
    "holds: kept for what is unplanned": Guard(
        _true("rota.store.holds.retention.planned_up_to_its_end"),
        (
            "holds/test_fire.py::test_a_hold_is_kept_as_long_as_a_task_has_yet_to_plan_what_is_in_it[sqlite]",
        ),
    ),
    "fire: overlap": Guard(
        _nothing("rota.store.runs.insertion.lines", {}),
        (
            "scheduling/test_fire.py::test_a_fire_time_that_meets_an_unfinished_run_is_skipped[sqlite-running]",
            "tasks/test_lifecycle.py::test_catching_up_respects_the_overlap_policy[sqlite-skip-skipped]",
        ),
    ),
    **{
        f"replan: {name}": Guard(
            _true(f"rota.store.scheduling.replanning.{guard}"),
            (
                f"{_REPLANNING}::test_a_task_that_was_changed_meanwhile_is_not_replanned[sqlite-{meanwhile}]",
            ),
        )
        for name, guard, meanwhile in (
            ("status", "still_fires", "cancel"),
            ("generation", "same_generation", "edit"),
            ("fire time", "same_fire_time", "fire"),
            ("moved fire time", "same_move", "move"),
        )
    },
    "alerts: raised once": Guard(
        _nothing("rota.store.alerts.edges._raise", empty=True),
        ("alerts/test_edges.py::test_an_alert_is_raised_and_ends_once[sqlite]",),
    ),
    "alerts: sent by a run that has succeeded": Guard(
        _nothing("rota.store.follow_ups.settle", None),
        (
            "alerts/test_sending.py::test_it_is_sent_when_its_run_has_succeeded[sqlite]",
            "alerts/test_sending.py::test_it_is_tried_again_later_and_later_when_its_run_ends_otherwise[sqlite]",
        ),
    ),
    "alerts: notifications notify nobody": Guard(
        _nothing("rota.store.alerts.run_ends.counts", empty=True),
        ("alerts/test_run_ends.py::test_runs_of_notifications_raise_nothing[sqlite]",),
    ),
    "one run per fire time": Guard(
        _allow_doubles,
        (
            "scheduling/test_fire.py::test_no_second_run_of_a_fire_time_can_be_inserted[sqlite]",
            "scheduling/test_fire.py::test_a_clock_that_was_set_back_doubles_nothing[sqlite]",
        ),
    ),
}


@dataclass
class Removal:
    """A plugin that runs the tests of each guard with the guard removed, and each test once with all of them.

    In one session, since to begin one takes longer than most of these tests.
    """

    #: What became of each test, by the guard that was removed; "" if none was.
    went: dict[str, dict[str, str]] = field(default_factory=dict)
    _meant: dict[str, tuple[str, str]] = field(default_factory=dict)

    def pytest_generate_tests(self, metafunc: pytest.Metafunc) -> None:
        place = f"{_file(metafunc.definition.path)}::{metafunc.function.__name__}["
        of_test = [
            name
            for name, guard in GUARDS.items()
            if any(test.startswith(place) for test in guard.tests)
        ]
        metafunc.parametrize("guard", ["", *of_test], ids=_id)

    @pytest.fixture(autouse=True)
    def _without_guard(
        self, guard: str, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest
    ) -> None:
        if guard:
            GUARDS[guard].remove(monkeypatch, request)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        for item in items:
            guard = item.callspec.params["guard"]  # type: ignore[attr-defined]  # all have parameters
            test = item.name.replace(f"-{_id(guard)}", "").replace(f"{_id(guard)}-", "")
            self._meant[item.nodeid] = guard, f"{_file(item.path)}::{test}"
        items[:] = [item for item in items if self._is_wanted(*self._meant[item.nodeid])]

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when == "call" or report.failed:
            guard, test = self._meant[report.nodeid]
            outcome = report.outcome if report.when == "call" else "error"
            self.went.setdefault(guard, {})[test] = outcome

    def _is_wanted(self, guard: str, test: str) -> bool:
        return test in (GUARDS[guard].tests if guard else EVERY)


EVERY = {test for guard in GUARDS.values() for test in guard.tests}


def _file(path: Path) -> str:
    return path.relative_to(STORE).as_posix()


def _id(guard: str) -> str:
    return f"without {guard or 'none'}"


def main() -> None:
    removal = Removal()
    files = sorted({f"tests/store/{test.partition('::')[0]}" for test in EVERY})
    # What these tests do not need takes longer to load than they do to run.
    options = ["-o", "addopts=--import-mode=importlib --disable-plugin-autoload -p timeout"]
    with redirect_stdout(sys.stderr):
        pytest.main(["-q", "-p", "no:cacheprovider", *options, *files], plugins=[removal])
    json.dump(removal.went, sys.stdout)


if __name__ == "__main__":
    main()
