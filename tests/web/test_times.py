"""Times on pages: exact in UTC, with their zone to be seen, and on two lines where there is little room."""

import re
from collections.abc import Iterator
from pathlib import Path

import pytest

from rota.web import formats, rendering
from rota.web.navigation import current_page
from rota.web.task_times import next_times

TEMPLATES = Path(rendering.__file__).with_name("templates")


def tables() -> Iterator[tuple[str, str]]:
    """Yield the tables of all templates that have times in their rows, with the files that they are in."""
    for path in sorted(TEMPLATES.rglob("*.html")):
        for table in re.findall(r"<table.*?</table>", path.read_text(), re.DOTALL):
            if "|instant" in table.partition("<tbody>")[2]:
                yield str(path.relative_to(TEMPLATES)), table


def test_each_table_with_times_names_their_zone_in_a_heading() -> None:
    found = list(tables())

    assert len(found) > 9
    assert [
        path for path, table in found if "{{ in_zone }}" not in table.partition("<tbody>")[0]
    ] == []


def test_a_time_has_its_zone_and_its_exact_instant() -> None:
    shown = formats.instant("2026-11-30T09:00:00.123Z")

    assert shown == (
        '<time datetime="2026-11-30T09:00:00.123Z" title="2026-11-30T09:00:00.123Z">'
        "2026-11-30 09:00:00\u00a0UTC</time>"
    )


def test_a_local_time_breaks_between_the_date_and_the_time_only() -> None:
    [time] = next_times(["2026-11-30T09:00:00.000Z"], "Europe/Berlin")

    assert time.local.split(" ") == ["Mon\u00a02026-11-30", "10:00:00\u00a0+01:00"]


def test_what_stands_in_backticks_is_code_and_the_rest_is_text() -> None:
    assert formats.prose("Sends `a < b` & more.") == "Sends <code>a &lt; b</code> &amp; more."


@pytest.mark.parametrize(
    ("path", "current"),
    [
        ("/ui", "/ui"),
        ("/ui/tasks/a/kv", "/ui/tasks"),
        ("/ui/runs/bulk/new", "/ui/runs/bulk"),
        ("/ui/runs/bulky", "/ui/runs"),
        ("/ui/new-task", None),
    ],
)
def test_one_page_of_the_navigation_is_the_current_one(path: str, current: str | None) -> None:
    assert current_page(path) == current
