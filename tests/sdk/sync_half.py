"""Makes `app/rota/sdk/sync.py`, the SDK for `def` handlers, from the half for `async` ones.

python -m tests.sdk.sync_half
"""

import ast
import re
import subprocess
import sys
from pathlib import Path

SDK = Path(__file__).parents[2] / "app" / "rota" / "sdk"
TARGET = SDK / "sync.py"
SOURCES = ("kv.py", "tasks.py")
CLASSES = ("KvTable", "Kv", "Tasks")
DOCSTRING = '''\
"""Key-value tables and registrations for `def` handlers.

Made from `kv.py` and `tasks.py` by `python -m tests.sdk.sync_half`: edit these, and run it again.
"""
'''

#: What differs between the halves, applied in this order.
REPLACEMENTS = (
    # Calls that may block are made in place.
    (r"await self\._in_thread\(lambda: (.*)\)(\)?)$", r"\1\2"),
    (r"await self\._in_thread\((.*)\)$", r"\1()"),
    (r"\n +self\._in_thread = in_thread", ""),
    (r", (in_thread: InThread|in_thread|self\._in_thread)\b", ""),
    (r"\(await ([\w.]+\(\))\)", r"\1"),
    (r"\b(async|await) ", ""),
    (r"\b(an )?`async` handler", lambda found: f"{'a ' if found[1] else ''}`def` handler"),
    (rf"\b({'|'.join(CLASSES)})\b", r"Sync\1"),
)


def sync_half() -> str:
    """Return the text of the module."""
    texts = [(SDK / name).read_text() for name in SOURCES]
    statements = [(text, each) for text in texts for each in ast.parse(text).body]
    imports = [_source(*each) for each in statements if isinstance(each[1], ast.ImportFrom)]
    imports.append("from rota.sdk.tasks import Schedule, declared")
    classes = [
        _without_async(_source(*each))
        for each in statements
        if isinstance(each[1], ast.ClassDef) and each[1].name in CLASSES
    ]
    module = "\n\n".join([DOCSTRING, "\n".join(imports), *classes])
    return _ruff(_ruff(module, "check", "--quiet", "--fix-only", "--select=F401,I"), "format")


def _source(text: str, statement: ast.stmt) -> str:
    source = ast.get_source_segment(text, statement)
    assert source is not None
    return source


def _without_async(source: str) -> str:
    for pattern, replacement in REPLACEMENTS:
        source = re.sub(pattern, replacement, source, flags=re.MULTILINE)
    return source


def _ruff(source: str, *command: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "ruff", *command, f"--stdin-filename={TARGET}", "-"],
        input=source,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout


if __name__ == "__main__":
    TARGET.write_text(sync_half())
