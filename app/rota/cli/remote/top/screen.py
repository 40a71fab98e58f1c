"""The screen: what was seen of a service, a size and a time as lines that fit."""

from collections.abc import Sequence
from datetime import datetime
from itertools import zip_longest
from typing import Any, Final

from rich.text import Text

from rota.cli.remote.top.drawing import draw
from rota.cli.remote.top.head import head, is_out_of_date
from rota.cli.remote.top.other_sections import attention, queues, upcoming
from rota.cli.remote.top.run_sections import failed, running, waiting
from rota.cli.remote.top.section import Section
from rota.cli.remote.top.seen import Seen, Size, Subject
from rota.cli.remote.top.snapshot import Snapshot

#: From how many cells on sections stand side by side.
_WIDE: Final = 140
_GAP: Final = 3


def screen(subject: Subject, seen: Seen, size: Size, now: datetime) -> list[Text]:
    """Return the lines of the screen: at most `size.height`, none wider than `size.width`."""
    lines = head(subject, seen, size.width, now)
    if seen.snapshot is not None:
        room = Size(size.width, None if size.height is None else size.height - len(lines))
        body = _body(_sections(seen.snapshot, now), room)
        if is_out_of_date(seen, now):
            for line in body:
                line.stylize("dim")
        lines += body
    return lines if size.height is None else lines[: size.height]


def _sections(snapshot: Snapshot, now: datetime) -> list[Section]:
    found: Any = snapshot.lists
    return [
        running(found["running"], now),
        waiting(found["waiting"], now),
        attention(snapshot.ready, found["alerts"], found["holds"], now),
        upcoming(found["upcoming"], now),
        queues(found["queues"], now),
        failed(found["failed"], now),
    ]


def _body(sections: Sequence[Section], size: Size) -> list[Text]:
    """Return the sections below each other, or in two columns if there is room."""
    if size.width is None or size.width < _WIDE:
        return _stacked(sections, size)
    width = (size.width - _GAP) // 2
    half = Size(width, size.height)
    middle = len(sections) // 2
    left, right = _stacked(sections[:middle], half), _stacked(sections[middle:], half)
    return [_side_by_side(*pair, size.width - width) for pair in zip_longest(left, right)]


def _side_by_side(left: Text | None, right: Text | None, at: int) -> Text:
    """Return two lines as one, in which the second begins at a cell."""
    line = Text() if left is None else left.copy()
    line.pad_right(at - line.cell_len)
    return line if right is None else line.append_text(right)


def _stacked(sections: Sequence[Section], size: Size) -> list[Text]:
    """Return sections below each other, with empty lines between them if all rows fit in spite of these."""
    wanted = [len(each.rows) for each in sections]
    room = None if size.height is None else size.height - len(sections)
    granted = wanted if room is None else shares(wanted, room)
    is_airy = room is None or room - sum(granted) >= len(sections) - 1
    lines: list[Text] = []
    for section, rows in zip(sections, granted, strict=True):
        if lines and is_airy:
            lines.append(Text())
        lines += draw(section, rows, size.width)
    return lines


def shares(wanted: Sequence[int], room: int) -> list[int]:
    """Return how many rows each gets of `room`: as many as it wants, up to a number that is the same for all."""
    granted = [0] * len(wanted)
    for _ in range(max(room, 0)):
        hungry = [index for index, most in enumerate(wanted) if granted[index] < most]
        if not hungry:
            break
        granted[min(hungry, key=lambda index: granted[index])] += 1
    return granted
