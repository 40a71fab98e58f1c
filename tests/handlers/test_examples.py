import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.domain.kv.entries import KvChange, KvSnapshot
from rota.domain.runs.outcomes import Fatal, Succeeded
from tests.handlers.bench import BUILT_IN_NAMES, Bench, started

EXAMPLES = Path(__file__).parents[2] / "examples" / "handlers.py"


@pytest.fixture(scope="module")
def examples() -> Iterator[Bench]:
    with started(EXAMPLES) as bench:
        yield bench


def empty() -> KvSnapshot:
    return KvSnapshot({}, 0)


def test_every_example_is_described(examples: Bench) -> None:
    assert sorted(examples.registry) == sorted(
        ["count-primes", "disk-report", "hello", *BUILT_IN_NAMES]
    )
    for each in examples.registry.values():
        assert each.description


def test_hello_greets_and_counts(examples: Bench) -> None:
    assert examples.run("hello", '{"name":"Ada"}', load_kv=empty) == Succeeded(
        '{"greeting":"Hello, Ada!","times":1}', (KvChange("greetings", b"1"),), 0
    )


def test_hello_greets_the_world_by_default_and_continues_to_count(examples: Bench) -> None:
    outcome = examples.run("hello", load_kv=lambda: KvSnapshot({"greetings": b"4"}, 3))

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result) == {"greeting": "Hello, world!", "times": 5}


def test_disk_report_remembers_the_latest_measurements(examples: Bench) -> None:
    before = KvSnapshot({"history": b'[{"at":"a","free":1},{"at":"b","free":2}]'}, 9)

    outcome = examples.run("disk-report", '{"path":"/","keep":2}', load_kv=lambda: before)

    assert isinstance(outcome, Succeeded)
    assert json.loads(outcome.result)["free"] <= shutil.disk_usage("/").total
    (change,) = outcome.changes
    assert isinstance(change, KvChange)
    assert change.value is not None
    history = json.loads(change.value)
    assert [each["at"] == "b" for each in history] == [True, False]


def test_disk_report_fails_the_run_without_the_path(examples: Bench) -> None:
    outcome = examples.run("disk-report", '{"path":"/no/such/path"}', load_kv=empty)

    assert isinstance(outcome, Fatal)
    assert outcome.error.message == "there is no path '/no/such/path'"


@pytest.mark.parametrize(("below", "primes"), [(2, 0), (3, 1), (100, 25), (1_000_000, 78_498)])
def test_count_primes_counts_them(examples: Bench, below: int, primes: int) -> None:
    outcome = examples.run("count-primes", f'{{"below":{below}}}')

    assert outcome == Succeeded(f'{{"primes":{primes}}}', (), 5)
