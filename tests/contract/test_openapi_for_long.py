"""The same as in `test_openapi.py`, with many more examples. To collect these takes long, see `conftest.py`."""

import pytest
import requests
import schemathesis
from hypothesis import Phase

from tests.contract.secrets import Present
from tests.contract.test_openapi import aim, check, check_without_key, examples, schema
from tests.support.torture import Part, torture

# Either takes as long as all the other parts.
DATABASES = [
    pytest.param("sqlite", marks=torture(Part.CONTRACT)),
    pytest.param("postgresql", marks=[pytest.mark.postgres, torture(Part.CONTRACT_ON_POSTGRESQL)]),
]


@pytest.mark.timeout(1_800)
@pytest.mark.parametrize("service", DATABASES, indirect=True, scope="module")
@schema.parametrize()
@examples(200, Phase.explicit)
def test_every_operation_conforms_to_the_document_for_many_examples(
    case: schemathesis.Case, service: str, session: requests.Session, present: Present
) -> None:
    check(case, service, session)
    aim(case, present)
    check(case, service, session)
    check_without_key(case, service, session)
