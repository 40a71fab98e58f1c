"""A section as lines: never wider than there is room for, nor more than are granted to it."""

from collections.abc import Sequence
from typing import Final

from rich.text import Text

from rota.cli.remote.top.section import Column, Section

_GAP: Final = 2
#: Cells that a text gets before columns are left out for it, and those that it keeps in any case.
_ENOUGH, _LEAST = 40, 12
_NAMES = Column("", may_shrink=True)


def draw(section: Section, rows: int, width: int | None) -> list[Text]:
    """Return the heading and up to `rows` rows of a section; `width` None: every cell as a whole."""
    shown = section.rows[:rows]
    heads = [section.heading(len(shown)), *(each.heading for each in section.columns)]
    if not shown:
        return [_cut(Text(heads[0], style="bold dim"), width)]
    table = [[Text(each, style="bold") for each in heads], *shown]
    columns = [_NAMES, *section.columns]
    natural = [max(line[index].cell_len for line in table) for index in range(len(columns))]
    widths = natural if width is None else _fitted(columns, natural, len(heads[0]), width)
    return [_cut(_line(cells, widths), width) for cells in table]


def _fitted(
    columns: Sequence[Column], natural: Sequence[int], heading: int, width: int
) -> list[int]:
    """Return the widths of columns, 0 for those that are left out, so that lines fit, if they can.

    The first column has room for its heading, which says how much is not shown.
    """
    kept = _kept(columns, natural, width)
    widths = [
        (min(most, _LEAST) if column.may_shrink else most) if is_kept else 0
        for column, most, is_kept in zip(columns, natural, kept, strict=True)
    ]
    widths[0] = max(widths[0], heading)
    for bound in (_ENOUGH, width):
        for index, most in enumerate(natural):
            wanted = min(most, bound) - widths[index]
            if widths[index]:
                widths[index] += max(min(wanted, width - _total(widths)), 0)
    return widths


def _kept(columns: Sequence[Column], natural: Sequence[int], width: int) -> list[bool]:
    """Return which columns are drawn: extra ones, from the left, while the others have enough room."""
    enough = [
        min(most, _ENOUGH) if column.may_shrink else most
        for column, most in zip(columns, natural, strict=True)
    ]
    for index in reversed(range(len(columns))):
        if columns[index].is_extra and _total(enough) > width:
            enough[index] = 0
    return [bool(each) for each in enough]


def _total(widths: Sequence[int]) -> int:
    used = [each for each in widths if each]
    return sum(used) + _GAP * (len(used) - 1)


def _line(cells: Sequence[Text], widths: Sequence[int]) -> Text:
    line = Text()
    for cell, width in zip(cells, widths, strict=True):
        if width:
            fitted = cell.copy()
            fitted.truncate(width, overflow="ellipsis", pad=True)
            line.append_text(fitted).append(" " * _GAP)
    line.rstrip()
    return line


def _cut(line: Text, width: int | None) -> Text:
    if width is not None:
        line.truncate(width, overflow="ellipsis")
    return line
