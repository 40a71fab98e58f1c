"""The documents agree with the code, and name nothing that does not exist."""

import ast
import json
import re
import shlex
from collections.abc import Iterator
from dataclasses import fields
from datetime import timedelta
from enum import StrEnum
from html import unescape
from importlib import import_module
from importlib.util import find_spec
from operator import attrgetter
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import Metric
from pydantic import TypeAdapter
from typer.main import get_command

from rota import cli, errors
from rota.api.events import TYPES
from rota.api.http import computing, pagination, routing
from rota.api.middleware import auth
from rota.api.problems import problem
from rota.api.problems.types import PROBLEM_TYPES
from rota.api.runs import routes as run_routes
from rota.api.secrets.request_models import LONGEST_OVERLAP
from rota.api.tasks.request_models import MOST_IN_A_BATCH, MOST_KV_SCHEMA_BYTES, MOST_KV_SCHEMAS
from rota.api.tasks.response_models import WarningOut
from rota.client import Rota
from rota.db import writer
from rota.domain.access.named import FIELDS
from rota.domain.chains import result_merge
from rota.domain.explain.model import MEANINGS, Verdict
from rota.domain.http_target.outcome_document import LONGEST_WAIT, MOST_OPERATIONS, OutcomeIn
from rota.domain.http_target.templates import filling as templates
from rota.domain.http_target.templates import grammar as template_grammar
from rota.domain.http_target.templates import urls as url_templates
from rota.domain.json_schema import weight
from rota.domain.kv import schemas as kv_schemas
from rota.domain.primitives.json import json_text
from rota.domain.primitives.times import durations
from rota.domain.reasons import CancelReason, ExplainedReason, FailReason, SkipReason, WaitingOn
from rota.domain.runs.errors import ErrorResponse, RunError
from rota.domain.runs.outcomes import AttemptOutcome
from rota.domain.runs.status import RunStatus, Trigger
from rota.domain.schedules import base, definitions, exclusions
from rota.domain.secrets import names, origins
from rota.domain.secrets import values as secret_values
from rota.domain.stream_positions import MOST_PATTERNS
from rota.domain.tasks import registration
from rota.domain.tasks.definition import OnConflict, TaskStatus
from rota.egress import client, connections, resolver, stream
from rota.handlers.http import response
from rota.sdk import kv_operations
from rota.sdk.stop import StopReason
from rota.setting_files import FROM_FILES, variable_of_file
from rota.setting_names import CLIENT_VARIABLES
from rota.settings import Settings
from rota.store.runs.reading import MOST_LISTED
from tests.support.metrics import families, name_of

ROOT = Path(__file__).parents[1]
DOCS = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")])
#: Where the paths that a document names begin: the repository, and the package.
ROOTS = (ROOT, ROOT / "app" / "rota")
#: Pages about the present; an ADR is about its time.
PRESENT = [
    ROOT / "README.md",
    ROOT / "CONTRIBUTING.md",
    *sorted((ROOT / "docs").glob("*.md")),
]
ADRS = sorted((ROOT / "docs/explanation/adr").glob("*.md"))
LAYERS = ("api", "db", "domain", "engine", "handlers", "sdk", "store", "testing")
#: Names that begin as the package does and are files of its users.
FILES_OF_USERS = {"rota.db", "rota.dump", "rota.key"}
CODE = [path.read_text() for path in sorted((ROOT / "app").rglob("*.py"))]


def test_every_setting_is_documented_with_its_default() -> None:
    text = (ROOT / "docs/reference/service/configuration.md").read_text()

    for name, field in Settings.model_fields.items():
        default = field.default
        shown = (
            "(empty)"
            if str(default) in {"()", ""}
            else f"`{default:g}`"
            if isinstance(default, float)
            else f"`{default}`"
        )
        assert f"| `ROTA_{name.upper()}` | {shown} | {field.description} |" in text


def test_no_setting_is_documented_that_does_not_exist() -> None:
    text = (ROOT / "docs/reference/service/configuration.md").read_text()

    documented = set(re.findall(r"^\| `(ROTA_\w+)`", text, re.MULTILINE))

    assert documented == {f"ROTA_{name.upper()}" for name in Settings.model_fields}


def test_compose_passes_on_every_setting_except_the_address() -> None:
    text = (ROOT / "docker-compose.yml").read_text()

    passed = set(re.findall(r"^\s+(ROTA_\w+):", text, re.MULTILINE))

    wanted = {f"ROTA_{name.upper()}" for name in Settings.model_fields} - {"ROTA_HOST", "ROTA_PORT"}
    assert wanted <= passed


#: Sizes and numbers that the page of limits names, as it writes them, by what its row begins with.
LIMITS: dict[str, tuple[int | timedelta, ...]] = {
    "a body |": (routing.BODY_LIMIT, routing.BATCH_BODY_LIMIT),
    "JSON values in a body": (json_text.MOST_VALUES, routing.BATCH_MOST_VALUES),
    "levels of JSON": (json_text.MAX_DEPTH,),
    "items of a batch": (MOST_IN_A_BATCH,),
    "operations of a kv transaction": (MOST_OPERATIONS,),
    "faults": (errors.MOST_FAULTS,),
    "a pointer": (problem.MOST_POINTER,),
    "`?wait=`": (timedelta(seconds=run_routes.LONGEST_WAIT),),
    "patterns of `?watch=`": (MOST_PATTERNS,),
    "items of a page": (pagination.MOST,),
    "a page of": (pagination.MOST_BYTES,),
    "an input or a result in a list": (MOST_LISTED,),
    "`jitter`": (base.MOST_JITTER,),
    "members of an `any_of`": (definitions.MOST_MEMBERS, definitions.MOST_PREDECESSORS),
    "exclusions": (exclusions.MOST_EXCLUSIONS,),
    "a duration": (durations.MAX_DURATION,),
    "`max_length`": (kv_operations.LONGEST_LIST,),
    "patterns of a `kv_schema`": (kv_schemas.MOST_PATTERNS, kv_schemas.MOST_BYTES),
    "`kv_schema`s of a batch": (MOST_KV_SCHEMAS, MOST_KV_SCHEMA_BYTES),
    "schemas for one value": (weight.MOST_IN_PLACE, weight.MOST_PATTERN),
    "steps of a check": (weight.MOST_STEPS,),
    "a body from templates": (templates.MOST_FILLED, templates.MOST_REFERENCES),
    "filters of a reference": (template_grammar.MOST_FILTERS, template_grammar.MOST_DEFAULT),
    "the URL of a target": (url_templates.MOST_URL,),
    "an input merged": (result_merge.MOST_INPUT_BYTES,),
    "tasks that a run registers": (registration.MOST_REGISTRATIONS, registration.MOST_BYTES),
    "the stored response": (response.MOST_ERROR_BYTES,),
    "all before the body": (stream.MOST_HEAD_BYTES, client.MOST_HEADERS),
    "kept connections": (
        connections.MOST_IDLE,
        timedelta(seconds=connections.IDLE_SECONDS),
    ),
    "a lookup": (timedelta(seconds=resolver.DEADLINE),),
    "a `Retry-After`": (LONGEST_WAIT,),
    "a named secret": (
        secret_values.LONGEST,
        origins.MOST_ORIGINS,
        names.MOST_TASKS,
        LONGEST_OVERLAP,
    ),
    "previews": (computing.SLOTS, timedelta(seconds=computing.PATIENCE)),
    "bodies of more than 64 KiB": (computing.READERS,),
    "writes that wait": (writer.MOST_PENDING,),
}


def as_written(limit: int | timedelta) -> set[str]:
    """Return how a limit may be written."""
    if isinstance(limit, timedelta):
        days, seconds = f"{limit.days:,}", f"{limit.total_seconds():,.0f}"
        return {f"{days} days", f"{days} day"} if limit.days else {f"{seconds} s"}
    return {f"{limit:,}"} | {
        f"{limit // size} {unit}"
        for unit, size in (("MiB", 1 << 20), ("KiB", 1 << 10))
        if limit % size == 0 and limit >= size
    }


@pytest.mark.parametrize("what", LIMITS)
def test_a_limit_is_documented_as_it_is(what: str) -> None:
    text = (ROOT / "docs/reference/service/limits.md").read_text()
    [row] = [line for line in text.splitlines() if line.startswith(f"| {what}")]

    for limit in LIMITS[what]:
        found = [
            each for each in as_written(limit) if re.search(rf"(?<![\d,]){each}(?![\d,]*\d)", row)
        ]
        assert found, (limit, row)


@pytest.mark.parametrize("field", ["errors_omitted", "truncated", "unreadable", "too_costly"])
def test_every_mark_of_a_limit_is_documented_with_the_limits(field: str) -> None:
    assert f"`{field}`" in (ROOT / "docs/reference/service/limits.md").read_text().replace('"', "`")


@pytest.mark.parametrize("path", FIELDS, ids=".".join)
def test_every_field_that_holds_a_name_is_documented_with_what_a_key_may_name(
    path: tuple[str, ...],
) -> None:
    field = ".".join(path).replace(".*", "[]")
    assert f"`{field}`" in (ROOT / "docs/reference/access/limited-keys.md").read_text()


def test_every_type_of_problem_is_documented_as_its_page_has_it() -> None:
    documented = {
        slug: (int(status), page)
        for slug, status, page in rows("reference/service/problems.md", "type", "status")
    }

    assert documented.keys() == PROBLEM_TYPES.keys()
    for slug, (status, page) in PROBLEM_TYPES.items():
        plain = unescape(re.sub(r"</?code>", "", page))
        assert documented[slug][0] == status
        # A page of the service cannot link to a document, so a row may continue with a link.
        assert documented[slug][1].replace("`", "").startswith(plain.replace("`", "")), slug


def test_every_type_of_event_is_documented() -> None:
    text = (ROOT / "docs/reference/service/events.md").read_text()

    assert [each for each in TYPES if f"`{each}`" not in text] == []


def test_every_metric_is_documented_with_its_kind_labels_and_meaning() -> None:
    documented = [
        (name, kind, labels, text)
        for name, kind, labels, text in rows("reference/service/metrics.md", "metric")
    ]

    assert documented == [
        (name_of(each), each.type, labels_of(each), each.documentation) for each in families()
    ]


def test_every_warning_is_documented_and_declared() -> None:
    described = TypeAdapter(WarningOut).json_schema()["properties"]["code"]["description"]
    declared = set(re.findall(r"`(\w+)`", described))
    found = {code for text in CODE for code in re.findall(r"Finding\(\s*\"(\w+)\"", text)}
    chains = (ROOT / "docs/reference/tasks/chains.md").read_text()

    documented = {code for code, _ in rows("reference/tasks/explain.md", "code")}

    assert found <= documented
    assert documented | set(re.findall(r"`(predecessor_\w+)`", chains)) == declared


def test_every_verdict_is_documented_as_the_api_describes_it() -> None:
    documented = [
        (verdict, meaning)
        for verdict, meaning in rows("reference/tasks/explain.md", "verdict", "meaning")
    ]

    assert dict(documented) == {str(verdict): meaning for verdict, meaning in MEANINGS.items()}


def test_every_reason_of_a_run_is_documented_with_its_status() -> None:
    documented = {
        status: set(re.findall(r"`([a-z_]+)`", reasons))
        for status, reasons in rows("explanation/concepts.md", "status")
    }

    assert set(SkipReason) == documented["skipped"] - {"misfire_grace"}
    assert set(FailReason) == documented["failed"]
    assert set(CancelReason) == documented["cancelled"]
    assert {each for each in RunStatus if each.final} - {RunStatus.SUCCEEDED} == documented.keys()


def test_every_outcome_of_an_attempt_is_documented() -> None:
    assert {outcome for outcome, *_ in rows("explanation/concepts.md", "outcome")} == set(
        AttemptOutcome
    )


@pytest.mark.parametrize(
    ("page", "values"),
    [
        # Nothing makes runs by a notification yet.
        ("explanation/concepts.md", set(Trigger) - {Trigger.NOTIFICATION}),
        ("explanation/concepts.md", set(WaitingOn)),
        ("reference/tasks/explain.md", set(ExplainedReason)),
        ("reference/tasks/explain.md", set(Verdict)),
        ("reference/tasks/policies.md", set(OnConflict)),
        ("reference/handlers/handlers.md", set(StopReason)),
    ],
)
def test_every_value_of_a_kind_is_documented(page: str, values: set[StrEnum]) -> None:
    text = (ROOT / "docs" / page).read_text()

    assert [value for value in values if not re.search(rf"`{value}[`:]", text)] == []


@pytest.mark.parametrize("states", [TaskStatus, RunStatus])
def test_the_diagrams_of_states_have_all_of_them_and_no_others(states: type[StrEnum]) -> None:
    text = (ROOT / "docs/explanation/concepts.md").read_text()
    diagrams = re.findall(r"^stateDiagram-v2\n(.*?)^```", text, re.MULTILINE | re.DOTALL)

    drawn = [
        set(re.findall(r"\b([a-z]+)(?= -->|:|$)", re.sub(r":.*", "", each), re.MULTILINE))
        for each in diagrams
    ]

    assert set(map(str, states)) in drawn


def test_every_type_of_error_is_documented() -> None:
    documented = {
        kind
        for kinds, _ in rows("explanation/concepts.md", "type", "what went wrong")
        for kind in kinds.split(", ")
    }

    assert documented == set(types_of_errors())


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_dotted_name_in_a_document_exists(page: Path) -> None:
    """Types of errors and events, lines of the log, fields of definitions."""
    families = "clock|encryption|http|input|kv|process|register|result|run|secret|setting|streams|task|writer|zones"
    columns = {"run.result", "task.kv", "task.kv_bytes", "task.kv_entries"}
    there = "\n".join(CODE)

    named = set(re.findall(rf"`((?:{families})\.[a-z_]+)`", page.read_text()))

    assert {name for name in named - columns - set(TYPES) if f'"{name}"' not in there} == set()


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_setting_in_a_document_exists(page: Path) -> None:
    named = set(re.findall(r"\bROTA_(?!SECRET_)[A-Z_]+\b", page.read_text()))

    settings = {f"ROTA_{name.upper()}" for name in Settings.model_fields} | {*CLIENT_VARIABLES}
    assert named <= settings | {variable_of_file(name) for name in FROM_FILES}


def test_every_example_setting_has_its_default() -> None:
    """What `.env.example` shows behind a `#` is what holds without it, in the image that Compose starts."""
    compose = (ROOT / "docker-compose.yml").read_text()
    image = dict(re.findall(r"(ROTA_\w+)=(\S+)", (ROOT / "Dockerfile").read_text()))
    shown = re.findall(r"^#([A-Z_]+)=(.*)$", (ROOT / ".env.example").read_text(), re.MULTILINE)

    lists = {"ROTA_HANDLERS", "ROTA_HTTP_TARGETS"}
    assert len(shown) > 5
    for name, value in shown:
        if name.startswith("ROTA_") and name not in lists:
            default = Settings.model_fields[name.removeprefix("ROTA_").lower()].default
            assert image.get(name, f"{default}") == value
        elif name not in lists:
            assert f"${{{name}:-{value}}}" in compose


def test_the_paths_without_a_key_are_those_of_the_document() -> None:
    text = (ROOT / "docs/reference/service/configuration.md").read_text()
    [sentence] = re.findall(r"No key is needed for (.*?):", text, re.DOTALL)

    assert set(re.findall(r"`([^`]+)`", sentence)) == {*auth._OPEN, *auth._OPEN_BELOW}


@pytest.mark.parametrize("page", PRESENT, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_command_in_a_document_exists(page: Path) -> None:
    targets = set(re.findall(r"^([a-z]+):", (ROOT / "Makefile").read_text(), re.MULTILINE))
    text = page.read_text()

    for target in re.findall(r"(?:`|^|[$] |\S+=\S+ )make (\w+)", text, re.MULTILINE):
        assert target in targets
    for line in re.findall(r"`rota ([a-z ]+)`", text):
        assert is_command(shlex.split(line)), line


@pytest.mark.parametrize("page", [*PRESENT, *ADRS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_path_in_a_document_exists(page: Path) -> None:
    text = page.read_text()
    # An absolute path is one of the user's machine.
    files = re.findall(r"(?<![\w/.])((?:[\w.-]+/)+[\w-]+\.(?:py|md|mako|mjs))", text)
    folders = re.findall(rf"(?<![\w/.])((?:{'|'.join(LAYERS)})/(?:\w+/)*)(?![\w.])", text)

    named = {*files, *folders}

    assert {path for path in named if not is_there(path, page)} == set()


@pytest.mark.parametrize("page", [*PRESENT, *ADRS], ids=lambda page: str(page.relative_to(ROOT)))
def test_every_module_and_name_of_the_package_in_a_document_exists(page: Path) -> None:
    text = page.read_text()
    dotted = re.findall(r"(?<![\w./-])(rota(?:\.[a-z_]\w*)+)(?![\w./-])", text)
    imported = re.findall(r"^\s*from (rota[\w.]*) import (.+)$", text, re.MULTILINE)

    named = {
        *dotted,
        *(f"{of}.{each.strip()}" for of, names in imported for each in names.split(",")),
    }

    with Rota() as called:  # what examples call their client
        unknown = {name for name in named - FILES_OF_USERS if not is_of_client(called, name)}
    assert {name for name in unknown if not can_be_imported(name)} == set()


@pytest.mark.parametrize("page", ["CONTRIBUTING.md", "docs/explanation/architecture.md"])
def test_every_file_name_without_a_folder_in_the_map_exists(page: str) -> None:
    named = set(re.findall(r"(?<![\w/.-])(\w+\.py)\b", (ROOT / page).read_text()))

    there = {path.name for path in (ROOT / "app" / "rota").rglob("*.py")}

    assert named - there == set()


def test_the_map_has_every_package() -> None:
    text = (ROOT / "docs/explanation/architecture.md").read_text()
    package = ROOT / "app" / "rota"

    packages = {path.parent for path in package.rglob("__init__.py")} - {package}

    assert {each.name for each in packages if f"{each.name}/" not in text} == set()


def test_the_error_of_a_call_is_shown_with_all_its_fields() -> None:
    shown = json.loads(blocks("reference/handlers/handlers.md", "json")[1])

    assert list(shown) == [field.name for field in fields(RunError)]
    assert list(shown["response"]) == [field.name for field in fields(ErrorResponse)]


def test_every_outcome_in_the_documents_is_valid() -> None:
    text = next(block for block in blocks("reference/http/kv.md", "json") if '"retry"' in block)

    read = [OutcomeIn.model_validate_json(line) for line in text.splitlines()]

    assert len(read) == 3


def test_every_python_example_is_python() -> None:
    for page in PRESENT:
        for block in re.findall(
            r"^```python\n(.*?)^```", page.read_text(), re.MULTILINE | re.DOTALL
        ):
            compile(block, page.name, "exec", flags=ast.PyCF_ALLOW_TOP_LEVEL_AWAIT)


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_link_between_documents_has_a_target(page: Path) -> None:
    for target in re.findall(r"\]\((?!https?:|#)([^)#]+)", page.read_text()):
        assert (page.parent / target).exists(), f"{page.name} links to {target}"


@pytest.mark.parametrize("page", DOCS, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_anchor_that_a_link_names_is_a_heading(page: Path) -> None:
    for target, anchor in re.findall(r"\]\((?!https?:)([^)#]*)#([^)]+)\)", page.read_text()):
        there = (page.parent / target) if target else page
        assert anchor in anchors(there), f"{page.name} links to {target}#{anchor}"


def test_every_test_that_a_guarantee_names_exists() -> None:
    text = (ROOT / "docs/explanation/guarantees.md").read_text()
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


def labels_of(family: Metric) -> str:
    """Return the labels of a family as the table has them; `le` is part of every histogram."""
    labels = {label for each in family.samples for label in each.labels} - {"le"}
    return ", ".join(f"`{label}`" for label in sorted(labels))


def types_of_errors() -> Iterator[str]:
    """Yield what the code calls the errors of runs, but the driver of tests, which makes none of its own."""
    for text in CODE:
        yield from re.findall(r"RunError\(\s*\"([a-z._]+)\"", text)
        yield from re.findall(
            r"\"(register\.[a-z]+|smtp\.[a-z]+|http\.(?:connect|disconnected|protocol|request|timeout|forbidden|redirect|oauth|proxy))\"",
            text,
        )


def is_command(words: list[str]) -> bool:
    """Return whether the program has such a command."""
    command: Any = get_command(cli.app)
    command.load_all()
    for word in words:
        known = getattr(command, "commands", {})
        if not known:
            return False
        if word not in known:
            return False
        command = known[word]
    return True


def is_there(path: str, page: Path) -> bool:
    """Return whether a file or folder is in the repository, in the package, or beside the page."""
    return any((root / path).exists() for root in (*ROOTS, page.parent))


def can_be_imported(name: str) -> bool:
    """Return whether a dotted name is a module, or a name in one."""
    module, _, last = name.rpartition(".")
    if not module:
        return find_spec(name) is not None
    try:
        return find_spec(name) is not None or hasattr(import_module(module), last)
    except ModuleNotFoundError:
        return can_be_imported(module) and hasattr(import_module(module), last)


def is_of_client(client: Rota, name: str) -> bool:
    """Return whether a dotted name is one of a client that is called `rota`."""
    try:
        return callable(attrgetter(name.removeprefix("rota."))(client)) or name.count(".") == 1
    except AttributeError:
        return False


def anchors(page: Path) -> set[str]:
    """Return what a link can name in a document, as GitHub makes it from the headings."""
    text = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", text, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in headings}
