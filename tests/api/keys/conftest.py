from collections.abc import Callable, Iterator

import pytest

from tests.api.keys.clients import ADMIN, bearer
from tests.api.service import Api, serving


@pytest.fixture(scope="module")
def api(another_database: Callable[[str], str]) -> Iterator[Api]:
    """One service for all tests that need no other: each makes keys of its own."""
    with serving(another_database("sqlite"), api_key=ADMIN, headers=bearer(ADMIN)) as service:
        yield service
