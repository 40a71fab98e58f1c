"""Which part of which page is made from what. A part stands between two comments, and the rest of a page is written."""

import re
from collections.abc import Callable
from dataclasses import dataclass

from tests.docs.programs import ROOT
from tests.reference.api import requests
from tests.reference.sdk import members_of
from tests.reference.tables import metrics, settings

DOCS = ROOT / "docs"


@dataclass(frozen=True)
class Part:
    """A part of a page, by its name in the comment before it."""

    page: str
    name: str
    make: Callable[[], str]


PARTS = (
    Part("reference/service/configuration.md", "settings", settings),
    Part("reference/service/metrics.md", "metrics", metrics),
    Part("reference/service/api.md", "requests", requests),
    Part(
        "reference/handlers/sdk.md",
        "sdk",
        lambda: members_of(
            "rota",
            *("handler", "Context", "KvTable", "Kv", "Tasks", "Log", "StopReason"),
            *("Retry", "Fail", "KvConflict", "KvRefused", "CheckFailed"),
        ),
    ),
    Part(
        "reference/handlers/sdk.md",
        "testing",
        lambda: members_of("rota.testing", "Driver", "RunView", "RunFailed"),
    ),
)


def with_parts(page: str, text: str) -> str:
    """Return the text of a page with its parts made anew; raises ValueError if one has no place in it."""
    for part in PARTS:
        if part.page == page:
            begin = f"<!-- {part.name}: made from the code by python -m tests.reference -->\n"
            end = f"<!-- end of {part.name} -->\n"
            made = re.compile(f"(?<={re.escape(begin)}).*?(?={re.escape(end)})", re.DOTALL)
            text, times = made.subn(part.make().replace("\\", r"\\"), text)
            if times != 1:
                raise ValueError(f"{page} has no place for {part.name}: {begin}{end}")
    return text
