from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.handlers.bench import Bench, started

SAMPLES = Path(__file__).parent / "samples.py"


@pytest.fixture(scope="module")
def bench() -> Iterator[Bench]:
    with started(SAMPLES) as made:
        yield made
