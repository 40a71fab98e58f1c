from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handlers.bench import Bench, started

SAMPLES = Path(__file__).parent / "samples.py"


@pytest.fixture(scope="module")
def shared() -> Iterator[Bench]:
    """One executor for the tests of a module that leave it as it was."""
    with started(SAMPLES) as bench:
        yield bench


@pytest.fixture
def bench(shared: Bench) -> Iterator[Bench]:
    samples = shared.module("waits-sync")
    samples.started.clear()
    samples.released.clear()
    yield shared
    samples.released.set()


@pytest.fixture
def own() -> Iterator[Bench]:
    """An executor for one test."""
    with started(SAMPLES) as bench:
        samples = bench.module("waits-sync")
        samples.started.clear()
        samples.released.clear()
        yield bench
        samples.released.set()
