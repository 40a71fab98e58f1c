"""A section of the screen: a heading, columns, and rows of which as many are drawn as fit."""

from collections.abc import Sequence
from dataclasses import dataclass

from rich.text import Text

from rota.cli.escaping import printable


@dataclass(frozen=True, slots=True)
class Column:
    """A column below a heading.

    `may_shrink`: its texts may be cut. `is_extra`: it is left out where there is no room for it.
    """

    heading: str
    may_shrink: bool = False
    is_extra: bool = False


@dataclass(frozen=True, slots=True)
class Section:
    """Rows about one subject; the first column has the name of what a row is about.

    `count`: how many there are, with those that were not read; `is_exact`: not more than that. `within`: in which time.
    """

    title: str
    columns: Sequence[Column]
    rows: Sequence[Sequence[Text]]
    count: int
    is_exact: bool = True
    within: str = ""
    is_readable: bool = True

    def heading(self, shown: int) -> str:
        """Return the title with how many there are, and how many of them are not shown."""
        if not self.is_readable:
            return f"{self.title} not with this key"
        plus = "" if self.is_exact else "+"
        hidden = self.count - shown
        more = f" ({hidden:,}{plus} more)" if hidden else ""
        return f"{self.title} {self.count:,}{plus}{self.within}{more}"


def unreadable(title: str) -> Section:
    """Return the section of what the key may not read."""
    return Section(title, (), (), 0, is_readable=False)


def cell(value: object, style: str = "") -> Text:
    """Return a cell; a dash for None. Texts of a service are untrusted: what does not show is escaped."""
    return Text("-" if value is None else printable(str(value)), style=style)
