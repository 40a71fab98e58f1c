from collections.abc import Iterator

import pytest

from tests.handlers.target import Site, serving


@pytest.fixture
def site() -> Iterator[Site]:
    with serving() as site:
        yield site
