"""Tables of the settings and of the metrics."""

from collections.abc import Iterable

from prometheus_client import Metric

from rota.settings import Settings
from tests.support.metrics import families, name_of


def table(header: tuple[str, ...], rows: Iterable[tuple[str, ...]]) -> str:
    """Return a table; a cell that is empty has no more than a space."""
    lines = [header, ("---",) * len(header), *rows]
    return "".join(f"| {' | '.join(line)} |\n".replace("|  |", "| |") for line in lines)


def settings() -> str:
    """Return the settings with their defaults and descriptions."""
    rows = (
        (f"`ROTA_{name.upper()}`", _shown(field.default), field.description or "")
        for name, field in Settings.model_fields.items()
    )
    return table(("variable", "default", "meaning"), rows)


def metrics() -> str:
    """Return the metrics with their kinds, labels and meanings."""
    rows = (
        (f"`{name_of(each)}`", each.type, labels_of(each), each.documentation)
        for each in families()
    )
    return table(("metric", "kind", "labels", "meaning"), rows)


def labels_of(family: Metric) -> str:
    """Return the labels of a family; `le` is part of every histogram."""
    labels = {label for each in family.samples for label in each.labels} - {"le"}
    return ", ".join(f"`{label}`" for label in sorted(labels))


def _shown(default: object) -> str:
    if str(default) in {"()", ""}:
        return "(empty)"
    return f"`{default:g}`" if isinstance(default, float) else f"`{default}`"
