"""The shape of a table: noted by one run only, and part of what the table was."""

import pytest

from rota.domain.kv.draft import KvDraft
from rota.domain.kv.entries import DEFAULT_LIMITS
from rota.domain.kv.present import Present
from rota.domain.primitives.texts.names import VERSION_KEY
from rota.domain.runs.model import ClaimedRun
from rota.domain.runs.outcomes import AttemptOutcome, Succeeded
from rota.domain.runs.status import RunStatus
from rota.store.kv.bulk_import import Import
from rota.store.kv.entries import KvFilter, list_entries, snapshot
from tests.store.kv.history.test_reading import page, revert
from tests.support.factories import World


@pytest.fixture
def tabled(world: World) -> World:
    """A world with a task `t`, whose runs may overlap."""
    world.register(overlap_policy="allow")
    return world


def migration(world: World, claimed: ClaimedRun, value: int) -> Succeeded:
    """Return the success of a run that has migrated the table that is there now."""
    draft = KvDraft(1_000, claimed.kv_revision)
    draft.load(world.read(snapshot, claimed.task_id, world.now))
    draft.set("migrated", value)
    draft.set_shape(value)
    return Succeeded("null", draft.changes, draft.revision or 0)


def shape(world: World) -> bytes | None:
    found = world.read(list_entries, "t", KvFilter(keys=(VERSION_KEY,)), world.now, limit=1)
    return found[0].value if found else None


@pytest.mark.parametrize("first", [True, False])
def test_of_two_runs_that_migrate_at_once_one_is_repeated(tabled: World, *, first: bool) -> None:
    if not first:
        claimed = tabled.start()
        tabled.end(claimed, migration(tabled, claimed, 1))
    runs = [tabled.start(), tabled.start()]
    ends = [migration(tabled, each, 2) for each in runs]

    settled = [tabled.end(each, end) for each, end in zip(runs, ends, strict=True)]

    assert [each.status for each in settled] == [RunStatus.SUCCEEDED, RunStatus.QUEUED]
    assert settled[1].outcome == AttemptOutcome.CONFLICT
    assert shape(tabled) == b"2"


def test_a_reversion_brings_the_shape_back_as_well(tabled: World) -> None:
    tabled.set("migrated", 0)
    runs = []
    for version in (1, 2):
        claimed = tabled.start()
        tabled.end(claimed, migration(tabled, claimed, version))
        runs.append(claimed.id)

    assert revert(tabled, runs[1]) == 4
    assert (tabled.entries(), shape(tabled)) == ({"migrated": 1}, b"1")
    assert revert(tabled, runs[0]) == 5
    assert (tabled.entries(), shape(tabled)) == ({"migrated": 0}, None)
    assert [each.key for each in page(tabled, 3).items] == [VERSION_KEY, "migrated"]


def test_an_import_brings_its_shape_with_it(tabled: World) -> None:
    claimed = tabled.start()
    tabled.end(claimed, migration(tabled, claimed, 1))

    def take(*, replace: bool, **entries: bytes) -> None:
        coming = {key: Present(value) for key, value in entries.items()}
        tabled.do(Import(task="t", entries=coming, replace=replace, by="me", limits=DEFAULT_LIMITS))

    take(replace=False, a=b"1")
    merged = shape(tabled)
    take(replace=True, a=b"2", _kv_version=b"7")
    replaced = shape(tabled)
    take(replace=True, a=b"3")

    assert (merged, replaced, shape(tabled)) == (b"1", b"7", None)
    assert tabled.entries() == {"a": 3}
