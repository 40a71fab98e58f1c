"""The documents that are made from the code say what the code says, and name nothing that is not there."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from enum import StrEnum
from html import unescape
from pathlib import Path

import pytest
from prometheus_client import Metric
from typer.main import get_command

from rota import cli
from rota.api.events import TYPES
from rota.api.middleware import auth
from rota.api.problems.types import PROBLEM_TYPES
from rota.api.tasks.response_models import WarningOut
from rota.domain.explain.model import MEANINGS, Verdict
from rota.domain.http_target.outcome_document import OutcomeIn
from rota.domain.reasons import CancelReason, ExplainedReason, FailReason, SkipReason, WaitingOn
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.metrics import Metrics
from rota.sdk.stop import StopReason
from rota.setting_files import FROM_FILES, variable_of_file
from rota.settings import Settings

ROOT = Path(__file__).parents[1]
DOCS = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").rglob("*.md")])
#: What is true today; an ADR says what was decided then.
PRESENT = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
CODE = [path.read_text() for path in sorted((ROOT / "app").rglob("*.py"))]


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


def test_every_type_of_problem_is_documented_as_its_page_has_it() -> None:
    documented = {
        slug: (int(status), said) for slug, status, said in rows("problems.md", "type", "status")
    }

    assert documented.keys() == PROBLEM_TYPES.keys()
    for slug, (status, page) in PROBLEM_TYPES.items():
        plain = unescape(re.sub(r"</?code>", "", page))
        assert documented[slug][0] == status
        # A page of the service cannot link to a document, so a row may go on with a link.
        assert documented[slug][1].replace("`", "").startswith(plain.replace("`", "")), slug


def test_every_type_of_event_is_documented() -> None:
    text = (ROOT / "docs" / "events.md").read_text()

    assert [each for each in TYPES if f"`{each}`" not in text] == []


def test_every_metric_is_documented_with_its_kind_and_meaning() -> None:
    documented = {name: (kind, said) for name, kind, said in rows("deployment.md", "metric")}

    exposed = {name_of(each): (each.type, each.documentation) for each in metrics()}
    assert documented.keys() == exposed.keys()
    for name, (kind, meaning) in exposed.items():
        assert documented[name][0] == kind
        assert documented[name][1].startswith(meaning.removesuffix(".").split(", by ")[0]), name


def test_every_warning_is_documented_and_declared() -> None:
    described = WarningOut.model_fields["code"].description or ""
    declared = set(re.findall(r"`(\w+)`", described))
    found = {code for text in CODE for code in re.findall(r"Finding\(\s*\"(\w+)\"", text)}
    chains = (ROOT / "docs" / "chains.md").read_text()

    documented = {code for code, _ in rows("explain.md", "code")}

    assert found <= documented
    assert documented | set(re.findall(r"`(predecessor_\w+)`", chains)) == declared


def test_every_verdict_is_documented_as_the_api_describes_it() -> None:
    documented = [
        (verdict, meaning) for verdict, meaning in rows("explain.md", "verdict", "meaning")
    ]

    assert dict(documented) == {str(verdict): meaning for verdict, meaning in MEANINGS.items()}


def test_every_reason_of_a_run_is_documented_with_its_status() -> None:
    documented = {
        status: set(re.findall(r"`([a-z_]+)`", said))
        for status, said in rows("concepts.md", "status")
    }

    assert set(SkipReason) == documented["skipped"] - {"misfire_grace"}
    assert set(FailReason) == documented["failed"]
    assert set(CancelReason) == documented["cancelled"]
    assert {each for each in RunStatus if each.final} - {RunStatus.SUCCEEDED} == documented.keys()


def test_every_outcome_of_an_attempt_is_documented() -> None:
    assert {outcome for outcome, *_ in rows("concepts.md", "outcome")} == set(AttemptOutcome)


@pytest.mark.parametrize(
    ("page", "values"),
    [
        # Nothing makes runs by a notification yet.
        ("concepts.md", set(Trigger) - {Trigger.NOTIFICATION}),
        ("concepts.md", set(WaitingOn)),
        ("explain.md", set(ExplainedReason)),
        ("explain.md", set(Verdict)),
        ("policies.md", set(OnConflict)),
        ("handlers.md", set(StopReason)),
    ],
)
def test_every_value_of_a_kind_is_documented(page: str, values: set[StrEnum]) -> None:
    text = (ROOT / "docs" / page).read_text()

    assert [value for value in values if not re.search(rf"`{value}[`:]", text)] == []


@pytest.mark.parametrize("states", [TaskStatus, RunStatus])
def test_the_diagrams_of_states_have_all_of_them_and_no_others(states: type[StrEnum]) -> None:
    text = (ROOT / "docs" / "concepts.md").read_text()
    diagrams = re.findall(r"^stateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    drawn = [
        set(re.findall(r"\b([a-z]+)(?= -->|:|$)", re.sub(r":.*", "", each), re.MULTILINE))
        for each in diagrams
    ]

    assert set(map(str, states)) in drawn


def test_every_type_of_error_is_documented() -> None:
    documented = {
        kind
        for kinds, _ in rows("concepts.md", "type", "what went wrong")
        for kind in kinds.split(", ")
    }

    assert documented == set(types_of_errors())


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.name)
def test_what_a_document_names_with_a_dot_is_there(page: Path) -> None:
    """Types of errors and events, lines of the log, members of definitions."""
    families = "clock|encryption|http|input|kv|process|register|result|run|setting|streams|task|writer|zones"
    columns = {"run.result", "task.kv_bytes", "task.kv_entries"}
    there = "\n".join(CODE)

    named = set(re.findall(rf"`((?:{families})\.[a-z_]+)`", page.read_text()))

    assert {name for name in named - columns - set(TYPES) if f'"{name}"' not in there} == set()


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.name)
def test_every_setting_that_a_document_names_is_there(page: Path) -> None:
    named = set(re.findall(r"\bROTA_[A-Z_]+\b", page.read_text()))

    settings = {f"ROTA_{name.upper()}" for name in Settings.model_fields}
    assert named <= settings | {variable_of_file(name) for name in FROM_FILES}


def test_every_example_setting_has_its_default() -> None:
    """What `.env.example` shows behind a `#` is what holds without it, in the image that Compose starts."""
    compose = (ROOT / "docker-compose.yml").read_text()
    image = dict(re.findall(r"(ROTA_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    shown = re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)

    assert len(shown) > 5
    for name, value in shown:
        if name.startswith("ROTA_") and name != "ROTA_HANDLERS":
            default = Settings.model_fields[name.removeprefix("ROTA_").lower()].default
            assert image.get(name, f"{default}") == value
        elif name != "ROTA_HANDLERS":
            assert f"${{{name}:-{value}}}" in compose


def test_no_key_is_needed_where_the_document_says_so_and_nowhere_else() -> None:
    text = (ROOT / "docs" / "configuration.md").read_text()
    [sentence] = re.findall(r"No key is needed for (.*?):", text, re.DOTALL)

    assert set(re.findall(r"`([^`]+)`", sentence)) == {*auth._OPEN, *auth._OPEN_BELOW}


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: page.name)
def test_every_command_is_one(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    said = page.read_text()

    for target in re.findall(r"(?:`|^|[$] |\S+=\S+ )make (\w+)", said, re.MULTILINE):
        assert target in targets
    for line in re.findall(r"`rota ([a-z ]+)`", said):
        assert is_command(shlex.split(line)), line
    for path in re.findall(r"\b((?:examples|tests|app|benchmarks)/[\w./]+\.\w+)", said):
        assert (ROOT / path).exists(), path


def test_the_error_of_a_call_is_shown_with_all_its_members() -> None:
    shown = json.loads(blocks("handlers.md", "json")[1])

    assert list(shown) == [field.name for field in fields(RunError)]
    assert list(shown["response"]) == [field.name for field in fields(ErrorResponse)]


def test_every_outcome_that_is_shown_can_be_read() -> None:
    text = next(block for block in blocks("kv.md", "json") if '"retry"' in block)

    read = [OutcomeIn.model_validate_json(line) for line in text.splitlines()]

    assert len(read) == 3


def test_every_python_example_is_python() -> None:
    for page in PRESENT:
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_leads_somewhere(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_that_a_link_names_is_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        there = (page.parent / target) if target else page
        assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_test_that_a_guarantee_names_is_there() -> None:
    text = (ROOT / "docs" / "guarantees.md").read_text()
    sources = "\n".join(path.read_text() for path in (ROOT / "tests").rglob("test_*.py"))

    named = set(re.findall(r"`(test_\w+)`", text))

    assert named
    assert {name for name in named if f"def {name}(" not in sources} == set()


def blocks(page: str, language: str) -> list[str]:
    """Return the blocks of code of a document."""
    text = (ROOT / "docs" / page).read_text()
    fenced = re.findall(r"^```(\w*)\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    return [block for named, block in fenced if named == language]


def rows(page: str, *header: str) -> Iterator[tuple[str, ...]]:
    """Yield the rows of the table whose header begins so, with no code marks around what fills a first cell."""
    lines = iter((ROOT / "docs" / page).read_text().splitlines())
    for line in lines:
        if cells(line)[: len(header)] == header:
            next(lines)
            break
    else:
        raise AssertionError(f"{page} has no table {header}")
    for line in lines:
        if not line.lstrip().startswith("|"):
            return
        first, *others = cells(line)
        yield first.replace("`", ""), *others


def cells(line: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in line.strip().strip("|").split("|"))


def metrics() -> Iterator[Metric]:
    made = Metrics()
    made.attempt_ended("succeeded", 1)
    made.run_ended("succeeded")
    return (each for each in made.registry.collect() if not each.name.endswith("_created"))


def name_of(metric: Metric) -> str:
    return f"{metric.name}_total" if metric.type == "counter" else metric.name


def types_of_errors() -> Iterator[str]:
    """Yield what the code calls the errors of runs, but the driver of tests, which makes none of its own."""
    for text in CODE:
        yield from re.findall(r"RunError\(\s*\"([a-z._]+)\"", text)
        yield from re.findall(
            r"\"(register\.[a-z]+|http\.(?:connect|disconnected|protocol|request))\"", text
        )


def is_command(words: list[str]) -> bool:
    """Tell whether the program has such a command."""
    command = get_command(cli.app)
    for word in words:
        known = getattr(command, "commands", {})
        if not known:
            return False
        if word not in known:
            return False
        command = known[word]
    return True


def anchors(page: Path) -> set[str]:
    """Return what a link can name in a document, as GitHub makes it from the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
