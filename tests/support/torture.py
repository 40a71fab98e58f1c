"""The long tests, in parts that each end in a known time: `make torture PART=browser`; CONTRIBUTING.md has the times.

A long test carries `torture(Part.KILLS)`, and so does a parameter that makes a test long.
"""

from collections.abc import Iterable
from enum import StrEnum
from functools import cache
from pathlib import Path

import pytest


class Part(StrEnum):
    """What long tests have in common, the quickest first; a test belongs to one."""

    BROWSER = "browser"
    """Stories of users at the dashboard, in Chromium."""
    TOOLS = "tools"
    """The benchmarks with tiny counts, and the wheel under mypy and uvx."""
    COSTS = "costs"
    """Requests and responses of four times the size, for each shape; the latency of others meanwhile."""
    POSTGRESQL = "postgresql"
    """What the default suite shows on SQLite, on PostgreSQL."""
    KILLS = "kills"
    """Real processes that are killed again and again."""
    HISTORIES = "histories"
    """Hundreds of random histories, long concurrent ones, and every change of every time zone."""
    CONTRACT = "contract"
    """Hundreds of generated requests to each operation of the OpenAPI document."""
    CONTRACT_ON_POSTGRESQL = "contract-on-postgresql"
    """The same again; responses depend little on the database."""


def torture(part: Part) -> pytest.MarkDecorator:
    """Mark a test or a parameter as long, in a part."""
    return pytest.mark.torture(part)


class PartError(ValueError):
    """A long test has no part, an unknown one, or several."""


def part_of(marks: Iterable[pytest.Mark]) -> Part | None:
    """Return the part of a test with these marks of torture; None if it is not long.

    A test that is long by itself is of its own part on both databases. Raises PartError.
    """
    arguments = {mark.args for mark in marks}
    if len(arguments) > 1:
        arguments.discard((Part.POSTGRESQL,))
    match list(arguments):
        case []:
            return None
        case [(Part() as part,)]:
            return part
        case _:
            raise PartError(
                f"a test of torture has one part of {[*map(str, Part)]}, not {sorted(arguments)}"
            )


def pytest_addoption(parser: pytest.Parser) -> None:
    # Plain texts, which xdist can send to its workers.
    names = [str(part) for part in Part]
    parser.addoption("--part", choices=names, help="with -m torture: only that part")


def pytest_ignore_collect(collection_path: Path, config: pytest.Config) -> bool | None:
    """Leave out files that do not name the part that is asked for: to collect all takes longer than some parts."""
    asked, is_test = config.option.part, collection_path.match("test_*.py")
    return True if asked and is_test and not _is_named(Part(asked), collection_path) else None


@cache
def _is_named(part: Part, path: Path) -> bool:
    """Say if a file of tests names the part, or the `conftest.py` beside it; tests on PostgreSQL need not."""
    files = [file for file in (path, path.with_name("conftest.py")) if file.exists()]
    name = f"Part.{part.name}"
    return part is Part.POSTGRESQL or any(name in file.read_text("utf-8") for file in files)


# Before -m deselects: the default suite notices a part that is missing.
@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Keep the tests of the part that is asked for."""
    asked = config.option.part
    parts = [_part_of_item(item) for item in items]
    if asked is None:
        return
    others = [item for item, part in zip(items, parts, strict=True) if part != asked]
    config.hook.pytest_deselected(items=others)
    items[:] = [item for item, part in zip(items, parts, strict=True) if part == asked]


def _part_of_item(item: pytest.Item) -> Part | None:
    try:
        part = part_of(item.iter_markers("torture"))
    except PartError as error:
        raise pytest.UsageError(f"{item.nodeid}: {error}") from None
    if part and not _is_named(part, item.path):
        raise pytest.UsageError(
            f"{item.nodeid}: neither its file nor a conftest.py there names {part}"
        )
    return part
