"""The messages about wrong inputs of notifiers."""

from typing import Any

import pytest

from rota.domain.alerts.notifier_inputs import notifier_faults
from rota.domain.alerts.notifiers import EMAIL, SLACK, WEBHOOK
from rota.domain.schedules.definitions import After

HOOK = "https://chat.example/T0/secret"


@pytest.mark.parametrize(
    ("handler", "input", "pointer", "detail"),
    [
        (SLACK, {}, "/input", "give either `url` or `url_secret`"),
        (WEBHOOK, {"url": HOOK, "url_secret": "x"}, "/input", "give either `url` or `url_secret`"),
        (SLACK, HOOK, "/input", "give an object, not a text"),
        (SLACK, {"uri": HOOK}, "/input/uri", "this field is not known here"),
        (SLACK, {"url": [HOOK]}, "/input/url", "give a text, not a list"),
        (SLACK, {"url": HOOK * 300}, "/input/url", "give at most 8,000 characters"),
        (WEBHOOK, {"url": f"ftp{HOOK}"}, "/input/url", "give an absolute http or https URL"),
        (WEBHOOK, {"url_secret": HOOK}, "/input/url_secret", "give 1 to 64 lower-case letters"),
        (WEBHOOK, {"url": HOOK, "signature": HOOK}, "/input/signature", "give an object"),
        (EMAIL, {"to": ["ops"]}, "/input/to/0", "give an e-mail address, such as"),
        (EMAIL, {"to": ["a@b\n"]}, "/input/to/0", "give an e-mail address, such as"),
        (EMAIL, {"to": ["a@b"], "from": "c"}, "/input/from", "give an e-mail address, such as"),
        (EMAIL, {}, "/input/to", "this field is required"),
    ],
)
def test_what_is_wrong_is_named_and_neither_an_address_nor_a_pattern_is_quoted(
    handler: str, input: Any, pointer: str, detail: str
) -> None:
    (fault,) = notifier_faults(handler, input)

    assert fault.pointer == pointer
    assert fault.detail.startswith(detail)
    assert "secret/" not in fault.detail.replace("url_secret", "")
    assert "T0" not in fault.detail
    assert "^" not in fault.detail


def test_fields_that_may_come_from_results_are_not_missed() -> None:
    after = After(type="after", tasks=("t",), merge="overwrite")

    assert notifier_faults(SLACK, {}, after) == []
    assert notifier_faults(SLACK, {}, After(type="after", tasks=("t",))) != []
