"""The blocks of code of a page, with the marks that stand before them.

A mark is a comment of HTML on the line before a block, which readers do not see:

| mark | meaning |
| --- | --- |
| `<!-- file: jobs.py -->` | the block is this file of the reader's project; so is one whose first line is `# jobs.py` |
| `<!-- background -->` | the command goes on while the page does; `<!-- background: 9000 -->` waits for this port |
| `<!-- stop -->` | what goes on in the background is stopped before |
| `<!-- exit: 2 -->` | the last command of the block ends with this code |
| `<!-- eventually -->` | the commands of the block are repeated until they print what is shown |
| `<!-- output -->` | the block is what the block before it has printed |
| `<!-- handlers: jobs.py -->` | before any block: the handlers of the service that the page finds running |
| `<!-- clone -->` | before any block: the reader's folder is a clone of the repository |
"""

import re
import textwrap
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

_FENCE = re.compile(
    r"^(?P<indent> *)(?P<fence>```+)(?P<info>[^\n`]*)\n(?P<text>.*?)^ *(?P=fence) *$",
    re.MULTILINE | re.DOTALL,
)
_MARK = re.compile(r"<!--\s*([a-z]+)(?::\s*(.*?))?\s*-->")
_MARKS_BEFORE = re.compile(rf"((?:{_MARK.pattern}\s*)*)\Z", re.DOTALL)
#: The first line of a block may name the file that the block is.
_NAMED = re.compile(r"(?:#|//|--) ([\w./-]+\.\w+)$|# (Makefile|Caddyfile|Dockerfile|crontab)$")
MARKS = {"file", "background", "stop", "exit", "eventually", "output", "handlers", "clone"}


@dataclass(frozen=True)
class Block:
    """A fenced block of code."""

    language: str
    text: str
    line: int
    #: Whether nothing stands between it and the block before it.
    follows: bool = False
    marks: Mapping[str, str] = field(default_factory=dict)

    @property
    def file(self) -> str | None:
        """The file that it is, relative to the reader's folder; None if it is none."""
        named = _NAMED.match(self.text.split("\n", 1)[0])
        return self.marks.get("file") or (named and (named[1] or named[2])) or None

    @property
    def is_output(self) -> bool:
        """Whether it is what the block before it has printed."""
        return "output" in self.marks or (self.follows and self.language in {"json", "text"})


def blocks_of(page: Path) -> list[Block]:
    """Return the blocks of a page, in order."""
    return list(_blocks(page.read_text()))


def marks_of(text: str) -> dict[str, str]:
    """Return the marks in a text; raises AssertionError if one is not known."""
    marks = dict(_MARK.findall(text))
    assert marks.keys() <= MARKS, f"no such mark: {marks.keys() - MARKS}"
    return marks


def _blocks(text: str) -> Iterator[Block]:
    end = 0
    for found in _FENCE.finditer(text):
        between = text[end : found.start()]
        before = _MARKS_BEFORE.search(between)
        assert before is not None
        yield Block(
            language=(found["info"].split() or [""])[0],
            text=textwrap.dedent(found["text"]),
            line=text.count("\n", 0, found.start()) + 1,
            follows=end > 0 and not between.strip(),
            marks=marks_of(before[1]),
        )
        end = found.end()
