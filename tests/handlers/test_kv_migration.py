"""Tables that are brought into the shape that a handler expects, by the first run of it."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from rota import Context, handler, handler_of
from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.runs.outcomes import Failed, Fatal, Outcome, Succeeded
from rota.errors import Invalid
from rota.handlers.registry import register
from rota.testing import Driver
from tests.handlers import migrating
from tests.handlers.bench import Bench, started

KINDS = ["async", "sync", "process", "process-async"]


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with started(Path(migrating.__file__)) as made:
        yield made


def run(bench: Bench, kind: str, input: str = "1", **entries: bytes) -> Outcome:
    table = {"name": b'"Ada"', "count": b"41"} | entries
    return bench.run(kind, input, load_kv=lambda: KvSnapshot(table, 7))


def changes(outcome: Outcome) -> dict[str, bytes | None]:
    assert isinstance(outcome, Succeeded), outcome
    assert outcome.kv_revision == 7
    found = [each for each in outcome.changes if isinstance(each, KvChange)]
    assert len(found) == len(outcome.changes)
    return {each.key: each.value for each in found}


@pytest.mark.parametrize("kind", KINDS)
def test_an_old_table_is_migrated_before_the_handler_and_with_its_success(
    bench: Bench, kind: str
) -> None:
    outcome = run(bench, kind)

    assert changes(outcome) == {
        "names": b'["Ada"]',
        "name": None,
        "total": b"41",
        "_kv_version": b"3",
    }
    assert isinstance(outcome, Succeeded)
    assert outcome.result == '[["Ada"],41]'


@pytest.mark.parametrize("kind", KINDS)
def test_a_migration_begins_at_the_version_that_is_stored(bench: Bench, kind: str) -> None:
    outcome = run(bench, kind, _kv_version=b"2", names=b'["Bob"]')

    assert changes(outcome) == {"total": b"41", "_kv_version": b"3"}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_this_version_is_left_alone(bench: Bench, kind: str) -> None:
    assert changes(run(bench, kind, _kv_version=b"3")) == {}


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_of_a_newer_version_fails_the_run(bench: Bench, kind: str) -> None:
    outcome = run(bench, kind, _kv_version=b"4")

    assert isinstance(outcome, Fatal)
    assert outcome.error.type == "kv.version"
    assert "version 4" in outcome.error.message


@pytest.mark.parametrize("kind", KINDS)
def test_a_failed_run_does_not_migrate_the_table(bench: Bench, kind: str) -> None:
    assert isinstance(run(bench, kind, '"fail"'), Failed)


def test_a_version_without_a_migration_is_recorded(bench: Bench) -> None:
    assert changes(run(bench, "only-notes")) == {"_kv_version": b"2"}


def test_a_table_is_migrated_once_and_shows_its_version() -> None:
    with Driver() as driver:
        driver.register("t", handler=migrating.third, kv={"name": "Ada"}, input="fail")
        driver.run("t")
        failed = driver.kv("t")
        driver.register("t", handler=migrating.third)
        results = [driver.run("t").result for _ in range(2)]

        assert failed == {"name": "Ada"}
        assert results == [[["Ada"], 0]] * 2
        assert driver.kv("t") == {"names": ["Ada"], "total": 0}


def test_a_migration_is_called_like_its_handler() -> None:
    async def work(ctx: Context) -> None: ...

    marked: Any = handler("t", kv_version=1, migrate=migrating.migrate_sync)(work)
    spec = handler_of(marked)
    assert spec is not None

    with pytest.raises(Invalid, match="both be `async def`"):
        register(spec, "a test")


@pytest.mark.parametrize("declared", [{"kv_version": -1}, {"migrate": migrating.migrate}])
def test_contradictory_declarations_are_refused(declared: dict[str, Any]) -> None:
    with pytest.raises(ValueError, match="kv_version is 1 or more"):
        handler("t", **declared)
