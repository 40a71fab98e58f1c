"""The documents that are made from the code say what the code says."""

import re
from pathlib import Path

import pytest

from app.api.events import TYPES
from app.api.problem_types import PROBLEM_TYPES
from app.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()

    for name, field in Settings.model_fields.items():
        default = field.default
        shown = (
            "(empty)"
            if default in ((), "")
            else f"`{default:g}`"
            if isinstance(default, float)
            else f"`{default}`"
        )
        assert f"| `ROTA_{name.upper()}` | {shown} | {field.description} |" in text


def test_no_setting_is_documented_that_is_not_there() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()

    documented = set(re.findall(r"^\| `(ROTA_\w+)`", text, re.MULTILINE))

    assert documented == {f"ROTA_{name.upper()}" for name in Settings.model_fields}


def test_compose_passes_on_every_setting_but_where_to_listen() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    passed = set(re.findall(r"^\s+(ROTA_\w+):", text, re.MULTILINE))

    wanted = {f"ROTA_{name.upper()}" for name in Settings.model_fields} - {"ROTA_HOST", "ROTA_PORT"}
    assert wanted <= passed


def test_every_type_of_problem_is_documented() -> None:
    text = (ROOT / "docs" / "problems.md").read_text()

    documented = set(re.findall(r"^\| `([a-z-]+)` \| (\d+) \|", text, re.MULTILINE))

    assert documented == {(slug, str(status)) for slug, (status, _) in PROBLEM_TYPES.items()}


def test_every_type_of_event_is_documented() -> None:
    text = (ROOT / "docs" / "events.md").read_text()

    assert [each for each in TYPES if f"`{each}`" not in text] == []


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


def test_every_test_that_a_guarantee_names_is_there() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    named = set(re.findall(r"`(test_\w+)`", text))

    assert named
    assert {name for name in named if f"def {name}(" not in sources} == set()
