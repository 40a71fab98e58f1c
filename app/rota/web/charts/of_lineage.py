"""A run and the runs that are linked with it as a graph: earlier ones to the left, what followed from them right."""

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from markupsafe import Markup

from rota.web.formats import mark, tone

_WIDTH: Final = 200
_HEIGHT: Final = 30
_COLUMN: Final = _WIDTH + 44
_ROW: Final = _HEIGHT + 12
_EDGE: Final = 2
#: Characters of a name that fit in a box.
_LONGEST: Final = 22

Run = Mapping[str, Any]
Link = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Lineage:
    """Runs, the earliest first, and how each of them led to later ones (`fed_by`, `run`, `kind`)."""

    runs: Sequence[Run]
    links: Sequence[Link]

    @property
    def kinds(self) -> dict[str, str]:
        """How each run followed from another one."""
        return {each["run"]: each["kind"] for each in self.links}

    def around(self, id: str, most: int) -> "Lineage":
        """Return a run and those that the fewest links lead to, up to a number."""
        neighbours = defaultdict(list)
        for link in self.links:
            neighbours[link["run"]].append(link["fed_by"])
            neighbours[link["fed_by"]].append(link["run"])
        known = {each["id"] for each in self.runs}
        kept = {id} & known
        found = list(kept)
        for each in found:
            for near in neighbours[each]:
                if near in known and near not in kept and len(kept) < most:
                    found.append(near)
                    kept.add(near)
        return Lineage(
            [each for each in self.runs if each["id"] in kept],
            [each for each in self.links if {each["run"], each["fed_by"]} <= kept],
        )


def graph(lineage: Lineage, id: str) -> Markup:
    """Return the graph as a picture, the run `id` in a thicker frame; each run links to its page."""
    places = _places(lineage)
    width = max((column for column, _ in places.values()), default=0) * _COLUMN + _WIDTH
    height = max((row for _, row in places.values()), default=0) * _ROW + _HEIGHT
    lines = [_line(places[each["fed_by"]], places[each["run"]], each) for each in lineage.links]
    boxes = [_box(places[each["id"]], each, is_this=each["id"] == id) for each in lineage.runs]
    return Markup(
        '<svg class="lineage" viewBox="{} {} {} {}" width="{}" height="{}" role="group" aria-label="{}">{}</svg>'
    ).format(
        *(-_EDGE, -_EDGE, width + 2 * _EDGE, height + 2 * _EDGE),
        *(width + 2 * _EDGE, height + 2 * _EDGE),
        "The runs and what followed from them, from left to right",
        Markup("").join(lines + boxes),
    )


def _places(lineage: Lineage) -> dict[str, tuple[int, int]]:
    """Return the column and the row of each run: to the right of what it followed from, beside it if there is room."""
    columns: dict[str, int] = {}
    before: dict[str, list[str]] = defaultdict(list)
    for link in lineage.links:
        before[link["run"]].append(link["fed_by"])
    for each in lineage.runs:
        left = [columns.get(earlier, 0) for earlier in before[each["id"]]]
        columns[each["id"]] = max(left, default=-1) + 1
    rows: dict[str, int] = {}
    for column in range(max(columns.values(), default=0) + 1):
        _place(rows, [id for id, at in columns.items() if at == column], before)
    return {id: (column, rows[id]) for id, column in columns.items()}


def _place(rows: dict[str, int], ids: Sequence[str], before: Mapping[str, Sequence[str]]) -> None:
    """Give the runs of a column their rows."""
    wanted = {}
    for id in ids:
        beside = [rows[each] for each in before[id] if each in rows]
        wanted[id] = sum(beside) / len(beside) if beside else 0.0
    free = 0
    for id in sorted(ids, key=lambda each: wanted[each]):
        rows[id] = max(free, round(wanted[id]))
        free = rows[id] + 1


def _line(start: tuple[int, int], end: tuple[int, int], link: Link) -> Markup:
    left, right = start[0] * _COLUMN + _WIDTH, end[0] * _COLUMN
    top, bottom = (row * _ROW + _HEIGHT / 2 for row in (start[1], end[1]))
    middle = (left + right) / 2
    return Markup(
        '<path class="link {}" d="M{} {}C{} {} {} {} {} {}"><title>{}</title></path>'
    ).format(link["kind"], left, top, middle, top, middle, bottom, right, bottom, link["kind"])


def _box(place: tuple[int, int], run: Run, *, is_this: bool) -> Markup:
    left, top = place[0] * _COLUMN, place[1] * _ROW
    name, status = run["task"], run["status"]
    label = f"{name}, {status}{', this run' if is_this else ''}"
    shown = name if len(name) <= _LONGEST else name[: _LONGEST - 1] + "…"
    return Markup(
        '<a href="/ui/runs/{}" aria-label="{}"><title>{}</title>'
        '<rect class="{}" x="{}" y="{}" width="{}" height="{}" rx="5"/>'
        '<text class="{}" x="{}" y="{}">{}</text><text class="name" x="{}" y="{}">{}</text></a>'
    ).format(
        *(run["id"], label, label),
        *("box this" if is_this else "box", left, top, _WIDTH, _HEIGHT),
        *(tone(status), left + 8, top + 20, mark(status), left + 26, top + 20, shown),
    )
