"""The console: no text of a client or a handler can forge a line, or control a terminal."""

import subprocess
import sys
from typing import Any

import pytest

FORGED = "x\n2026-11-29T00:00:00Z [info ] FORGED\r\u2028\x1b[31m\u202e\x9b"
SAY = """
import logging, sys, structlog
from rota.logs import configure
from rota.settings import Settings
configure(Settings(log_format=sys.argv[1]))
text = sys.argv[2].encode("utf-8").decode("unicode_escape")
structlog.get_logger().warning(text, field=text)
logging.getLogger("lib").warning("%s", text)
try:
    raise ValueError(text)
except ValueError:
    structlog.get_logger().exception("failed")
    logging.getLogger("lib").exception("failed")
"""


@pytest.mark.parametrize("form", ["console", "json"])
def test_no_text_can_forge_a_log_line_or_control_the_terminal(form: str) -> None:
    escaped = FORGED.encode("unicode_escape").decode()
    done: Any = subprocess.run(
        [sys.executable, "-c", SAY, form, escaped], capture_output=True, check=True, timeout=60
    )
    output = done.stderr.decode()

    assert output.count("FORGED") >= 4
    assert not [
        line for line in output.split("\n") if line.startswith("2026-11-29T00:00:00Z [info ] F")
    ]
    assert not set(output) & set("\r\u2028\x1b\u202e\x9b")
