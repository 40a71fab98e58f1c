"""Makes `app/rota/client/sync/`, the client that awaits nothing, from `app/rota/client/aio/`.

python -m tests.client.sync_half
"""

import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

CLIENT = Path(__file__).parents[2] / "app" / "rota" / "client"
SOURCE = CLIENT / "aio"
TARGET = CLIENT / "sync"
#: Both halves of these are written by hand.
BY_HAND = frozenset(
    {"__init__.py", "concurrency.py", "kv/__init__.py", "kv/face.py", "work/__init__.py"}
)

#: What differs between the halves, applied in this order.
REPLACEMENTS = (
    (r"\bAsyncGenerator\[([^\n]*), None\]", r"Generator[\1, None, None]"),
    (r"\b__a(enter|exit|iter|next)__", r"__\1__"),
    (r"\bAsync(?=[A-Z])", ""),
    (r"\bStopAsyncIteration\b", "StopIteration"),
    (r"\banext\(", "next("),
    (r"\basynccontextmanager\b", "contextmanager"),
    (r"\baclosing\b", "closing"),
    (r"\ba(close|read|iter_bytes)\(", r"\1("),
    (r"\bAwaitable\[(\w+)\]", r"\1"),
    (r"  # noqa: ASYNC109.*$", ""),
    (r"\b(async|await) ", ""),
    (r"\brota\.client\.aio\b", "rota.client.sync"),
    (r"\[item for item in self\]", "list(self)"),
    (
        r'^(""".*?)"""',
        r'\1"""\n\n# Made by `python -m tests.client.sync_half` from the file of this name in `aio/`: edit that.',
    ),
)


def sync_half() -> Iterator[tuple[Path, str]]:
    """Yield the files that are made, with their texts."""
    for source in sorted(SOURCE.rglob("*.py")):
        name = source.relative_to(SOURCE)
        if name.as_posix() not in BY_HAND:
            yield TARGET / name, _made(source.read_text(), TARGET / name)


def _made(text: str, path: Path) -> str:
    for pattern, replacement in REPLACEMENTS[:-1]:
        text = re.sub(pattern, replacement, text, flags=re.MULTILINE)
    pattern, replacement = REPLACEMENTS[-1]
    text = re.sub(pattern, replacement, text, count=1, flags=re.DOTALL)
    return _ruff(
        _ruff(
            text, path, "check", "--quiet", "--fix-only", "--unsafe-fixes", "--select=F401,I,UP028"
        ),
        path,
        "format",
    )


def _ruff(source: str, path: Path, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, f"--stdin-filename={path}", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    for path, text in sync_half():
        path.write_text(text)
