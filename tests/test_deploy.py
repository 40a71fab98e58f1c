"""Rules and dashboard for Prometheus and Grafana: valid, and about metrics that there are."""

import json
import re
import shutil
import subprocess
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.support.metrics import labels_by_name

ROOT = Path(__file__).parents[1]
ALERTS = ROOT / "deploy" / "alerts.yml"
DASHBOARD = ROOT / "deploy" / "grafana.json"
METRICS_PAGE = ROOT / "docs/reference/service/metrics.md"

#: What Prometheus adds to every series that it scrapes.
ADDED = frozenset({"job", "instance"})
#: Of Prometheus itself.
OF_PROMETHEUS: dict[str, frozenset[str]] = {"up": frozenset()}
FUNCTIONS = frozenset(
    {
        *("changes", "count", "histogram_quantile", "increase", "max", "min", "predict_linear"),
        *("rate", "sort_desc", "sum", "time", "topk", "vector"),
    }
)
WORDS = frozenset({"by", "and", "or", "unless", "on", "ignoring", "bool"})
TOKEN = re.compile(
    r"""\s+
    | (?P<text>"(?:[^"\\]|\\.)*")
    | (?P<range>\[(?:\d+[smhdw]|\$__rate_interval)\])
    | (?P<number>\d+(?:\.\d+)?)
    | (?P<name>[a-zA-Z_][a-zA-Z0-9_]*)
    | (?P<operator>=~|!~|!=|==|>=|<=|[-+*/<>=,])
    | (?P<bracket>[(){}])""",
    re.VERBOSE,
)
#: A series that is only to be there for the labels that it has in common with another one.
PAIRED = re.compile(r"\band on \(([^)]*)\) ([a-z_]+)")
SELECTOR = re.compile(r"([a-z_][a-z0-9_]*)\s*\{([^}]*)\}")
MATCHER = re.compile(r'\s*([a-z_]+)\s*(?:=~|!~|!=|=)\s*"[^"]*"\s*')


def tokens(query: str) -> Iterator[tuple[str, str]]:
    """Yield the tokens of a query; fails where there is none."""
    at = 0
    while at < len(query):
        found = TOKEN.match(query, at)
        assert found, f"{query[at : at + 20]!r} is no PromQL, in {query}"
        at = found.end()
        if found.lastgroup:
            yield found.lastgroup, found.group(found.lastgroup)


def check_query(query: str) -> set[str]:
    """Fail unless a query is well formed and about series and labels that exist; return the metrics that it names."""
    found = list(tokens(query))
    check_brackets(query, [text for kind, text in found if kind == "bracket"])
    named = names_outside_of_labels(query)
    unknown = {name for name in named if name not in known_labels()}
    assert not unknown, f"there is no metric {unknown}, in {query}"
    for name, matchers in SELECTOR.findall(query):
        for matcher in matchers.split(","):
            match = MATCHER.fullmatch(matcher)
            assert match, f"{matcher!r} is no matcher, in {query}"
            assert match[1] in known_labels()[name], f"{name} has no label {match[1]}"
    grouped = {
        label.strip()
        for labels in re.findall(r"\bby \(([^)]*)\)", query)
        for label in labels.split(",")
    }
    paired = PAIRED.findall(query)
    for labels, name in paired:
        for side in named:
            assert set(labels.split(", ")) <= known_labels()[side], f"{side} has no labels {labels}"
        assert name in named, f"{name} is no metric, in {query}"
    for name in named - {name for _, name in paired}:
        assert grouped <= known_labels()[name], f"{name} has no labels {grouped}, in {query}"
    return named


def check_brackets(query: str, brackets: list[str]) -> None:
    opened: list[str] = []
    for each in brackets:
        if each in "({":
            opened.append(each)
        else:
            assert opened, query
            assert opened.pop() + each in {"()", "{}"}, query
    assert not opened, query


def names_outside_of_labels(query: str) -> set[str]:
    """Return the names in a query that are neither functions, words, nor labels."""
    bare = re.sub(r"\{[^}]*\}|\b(?:by|on) \([^)]*\)|\[[^]]*\]", " ", query)
    names = {text for kind, text in tokens(bare) if kind == "name"}
    return names - FUNCTIONS - WORDS


@cache
def known_labels() -> dict[str, frozenset[str]]:
    return {
        name: labels | ADDED for name, labels in (dict(labels_by_name()) | OF_PROMETHEUS).items()
    }


def rules() -> list[dict[str, Any]]:
    groups = yaml.safe_load(ALERTS.read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def panels() -> list[dict[str, Any]]:
    return list(json.loads(DASHBOARD.read_text())["panels"])


@pytest.mark.parametrize("rule", rules(), ids=lambda rule: rule["alert"])
def test_a_rule_is_about_metrics_and_labels_that_there_are(rule: dict[str, Any]) -> None:
    named = check_query(rule["expr"])

    shown = " ".join(rule["annotations"].values())
    used = set(re.findall(r"\$labels\.(\w+)", shown))
    grouped = re.search(r"by \(([^)]*)\)", rule["expr"])
    each = (known_labels()[name] for name in named)
    left = set(grouped[1].split(", ")) if grouped else frozenset[str]().union(*each)
    assert used <= left, "an annotation names a label that the result does not have"
    assert rule["annotations"].keys() == {"summary", "description"}
    assert rule["labels"]["severity"] in {"warning", "critical"}


def test_the_rules_cover_what_one_is_woken_for() -> None:
    covered = {name for rule in rules() for name in check_query(rule["expr"])}

    assert covered >= {
        *(
            "up",
            "rota_ready",
            "rota_database_up",
            "rota_overdue_seconds",
            "rota_firing_pass_age_seconds",
        ),
        *("rota_task_consecutive_failures", "rota_task_last_success_timestamp_seconds"),
        *("rota_queue_depth", "rota_queue_oldest_seconds", "rota_circuit_open", "rota_runs_total"),
        *("rota_database_size_bytes", "rota_wal_size_bytes", "rota_run_lateness_seconds_bucket"),
        "rota_notifications_pending",
    }
    names = [rule["alert"] for rule in rules()]
    assert len(names) == len(set(names))


def test_queries_in_annotations_are_valid_too() -> None:
    shown = [text for rule in rules() for text in rule["annotations"].values()]
    found = [match for text in shown for match in re.findall(r": ((?:sum|topk)\b.*)\.$", text)]

    assert len(found) == 2
    for query in found:
        check_query(query)


def test_the_dashboard_can_be_imported_and_shows_metrics_that_there_are() -> None:
    dashboard = json.loads(DASHBOARD.read_text())
    variables = {each["name"] for each in dashboard["templating"]["list"]}

    ids = [panel["id"] for panel in panels()]
    assert len(ids) == len(set(ids))
    assert dashboard["id"] is None  # an id would be that of another dashboard where it is imported
    assert set(re.findall(r"\$\{?([a-z]\w*)", DASHBOARD.read_text())) <= variables
    assert "http" not in DASHBOARD.read_text().replace("rota_http", "")  # nothing from elsewhere
    shown = {
        name
        for panel in panels()
        for target in panel.get("targets", ())
        for name in check_query(target["expr"])
    }
    assert len(shown) > 25


def test_panels_do_not_overlap_and_are_described() -> None:
    taken: set[tuple[int, int]] = set()
    for panel in panels():
        place = panel["gridPos"]
        cells = {
            (x, y)
            for x in range(place["x"], place["x"] + place["w"])
            for y in range(place["y"], place["y"] + place["h"])
        }
        assert not cells & taken, panel["title"]
        assert max(x for x, _ in cells) < 24, panel["title"]
        taken |= cells
        assert panel["type"] == "row" or panel["description"], panel["title"]


def test_every_metric_has_a_query_in_the_documentation() -> None:
    page = METRICS_PAGE.read_text()
    queries = [
        query.replace(r"\|", "|")
        for row in re.findall(r"^\| .*\? \| (.*) \|$", page, re.MULTILINE)
        for query in re.findall(r"`([^`]+)`", row)
    ]

    used = {name for query in queries for name in check_query(query)}

    endings = ("_bucket", "_sum", "_count")
    exposed = {
        name
        for name in labels_by_name()
        if name.startswith("rota_") and not name.endswith((*endings, "_created"))
    }
    assert exposed - used == set()
    assert {"rota_run_lateness_seconds_bucket", "rota_attempt_duration_seconds_bucket"} <= used


@pytest.mark.parametrize(
    "query",
    [
        "rota_nothing > 0",
        'rota_runs_total{task="t"}',
        "sum by (queue) (rota_runs_total)",
        "sum(rota_tasks",
        "rota_tasks # 1",
        "rota_tasks{status}",
    ],
)
def test_a_query_that_is_wrong_is_noticed(query: str) -> None:
    with pytest.raises(AssertionError):
        check_query(query)


def promtool(*arguments: str) -> subprocess.CompletedProcess[str]:
    found = shutil.which("promtool")
    if found is None:
        pytest.skip("promtool is not on the PATH (Debian: it is in the package prometheus)")
    return subprocess.run([found, *arguments], capture_output=True, text=True, check=False)


def test_promtool_accepts_the_rules() -> None:
    checked = promtool("check", "rules", str(ALERTS))

    assert checked.returncode == 0, checked.stdout + checked.stderr
    assert f"{len(rules())} rules found" in checked.stdout


CASES = list(yaml.safe_load_all((Path(__file__).parent / "alerts.test.yml").read_text()))


@pytest.mark.parametrize("cases", CASES, ids=["minutes", "hours"])
def test_the_rules_fire_when_they_should(tmp_path: Path, cases: dict[str, Any]) -> None:
    (tmp_path / "cases.yml").write_text(yaml.safe_dump(cases | {"rule_files": [str(ALERTS)]}))

    tested = promtool("test", "rules", str(tmp_path / "cases.yml"))

    assert tested.returncode == 0, tested.stdout + tested.stderr
