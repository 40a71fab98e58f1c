"""A page that shows what does not happen is refused: else no test of a page could fail."""

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.acceptance.launching import ROOT
from tests.docs.blocks import blocks_of
from tests.docs.output import agrees
from tests.docs.reader import Reader, commands_of
from tests.support.factories import eventually

Read = Callable[[str], None]
RIGHT = """
```console
$ X=5
$ echo "$X at 2026-11-25T08:00:00.000Z"
5 at 2027-01-01T10:20:30.000Z
```

<!-- exit: 3 -->
```console
$ (exit 3)
```

```python
# jobs.py
LIMIT = 7
```

```python
import jobs
print(jobs.LIMIT)
```
```text
7
```
"""


@pytest.fixture
def read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Read]:
    made: list[Reader] = []

    def do(text: str) -> None:
        page = tmp_path / "page.md"
        page.write_text(text)
        blocks = blocks_of(page)
        made.append(Reader(blocks, tmp_path, tmp_path, monkeypatch))
        for block in blocks:
            made[-1].do(block)

    yield do
    for reader in made:
        reader.close()


def test_a_page_that_shows_what_happens_passes(read: Read) -> None:
    read(RIGHT)


@pytest.mark.parametrize(
    ("shown", "wrong", "error"),
    [
        ("5 at 2027", "6 at 2027", "the page shows"),
        ("$ X=5", "$ false", "the page shows"),
        ("<!-- exit: 3 -->", "", "the page shows"),
        ("# jobs.py\n", "", "No module named"),
        ("```text\n7", "```text\n8", "the page shows"),
        ("```text\n7", "```cobol\n7", "cobol"),
        ("<!-- exit: 3 -->", "<!-- exits: 3 -->", "no such mark"),
    ],
)
def test_a_page_that_shows_something_else_is_refused(
    read: Read, shown: str, wrong: str, error: str
) -> None:
    assert shown in RIGHT

    with pytest.raises(Exception, match=error):
        read(RIGHT.replace(shown, wrong))


@pytest.mark.parametrize(
    ("shown", "printed", "result"),
    [
        ("a\n…\nz", "a\nb\nc\nz\n", True),
        ("a\n…\nz", "a\nz\n", True),
        ("a\n…\nz", "a\nb\n", False),
        ("name   next", "name next", True),
        ("run 0193…", "run 01938a1b", True),
        ('{"a": 1, …}', '{"a": 1,\n "b": 2}', True),
        ('{"a": 1, …}', '{"a": 2,\n "b": 2}', False),
        ('{"a": 1}', '{\n  "a": 1\n}', True),
        ("3 tasks", "4 tasks", False),
    ],
)
def test_output_agrees_apart_from_ids_times_and_what_is_left_out(
    shown: str, printed: str, result: bool
) -> None:
    assert agrees(shown, printed) is result


def test_a_command_may_go_on_over_lines() -> None:
    assert list(commands_of("$ a \\\n  b\nout\n$ c\n> d\n")) == [("a \\\n  b", "out"), ("c\nd", "")]


def test_no_rota_outlives_the_tests(tmp_path: Path) -> None:
    program = (
        "import os, signal\nfrom pathlib import Path\nfrom tests.docs.programs import fast_rota\n"
        f"with fast_rota(Path({str(tmp_path / 'bin')!r})):\n    os.kill(os.getpid(), signal.SIGKILL)"
    )
    environment = os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'app'}"}
    subprocess.run([sys.executable, "-c", program], env=environment, check=False, timeout=60)

    eventually(lambda: str(tmp_path) not in _commands(), "a process is left")


def _commands() -> str:
    """Return the command lines of all processes."""
    shown: list[bytes] = []
    for each in Path("/proc").glob("[0-9]*/cmdline"):
        with suppress(OSError):  # it has ended
            shown.append(each.read_bytes())
    return b"\n".join(shown).decode(errors="replace")
