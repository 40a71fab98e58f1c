"""The process that drives a client: one request a line, one reply a line (docs/reference/conformance.md)."""

import json
import os
import selectors
import shlex
import subprocess
import tempfile
import time
from collections.abc import Mapping
from typing import Any, Self

PATIENCE = 30.0
ENDING_SECONDS = 10.0


class DriverFailed(Exception):
    """The driver has ended, is silent, or does not keep to the protocol."""


class Driver:
    """A driver's process: `call` makes its client do something."""

    def __init__(self, command: str, environment: Mapping[str, str]) -> None:
        self._log = tempfile.TemporaryFile()  # noqa: SIM115  # closed with the process
        self._command = command
        self._read = b""
        self._process = subprocess.Popen(
            shlex.split(command),
            env=os.environ | environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._log,
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """End the driver as it is documented: its input ends."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        try:
            self._process.wait(ENDING_SECONDS)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process.stdout.close()
        self._log.close()

    def call(self, operation: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
        """Return what the driver replies: an object with `value` or `error`; raises DriverFailed."""
        request = json.dumps({"operation": operation, "arguments": arguments})
        assert self._process.stdin is not None
        try:
            self._process.stdin.write(request.encode() + b"\n")
            self._process.stdin.flush()
        except OSError:
            raise DriverFailed(self._with_log("it has ended")) from None
        line = self._line(operation)
        try:
            reply = json.loads(line)
        except ValueError:
            raise DriverFailed(self._with_log(f"its reply is no JSON: {line!r}")) from None
        if not isinstance(reply, dict) or len(reply.keys() & {"value", "error"}) != 1:
            raise DriverFailed(self._with_log(f"its reply has no value, and no error: {line!r}"))
        return reply

    def _line(self, operation: str) -> bytes:
        output = self._process.stdout
        assert output is not None
        deadline = time.monotonic() + PATIENCE
        with selectors.DefaultSelector() as selector:
            selector.register(output, selectors.EVENT_READ)
            while b"\n" not in self._read:
                if not selector.select(max(0, deadline - time.monotonic())):
                    raise DriverFailed(self._with_log(f"{operation} takes more than {PATIENCE} s"))
                more = os.read(output.fileno(), 65_536)
                if not more:
                    raise DriverFailed(self._with_log("it has ended"))
                self._read += more
        line, _, self._read = self._read.partition(b"\n")
        return line

    def _with_log(self, message: str) -> str:
        self._log.seek(0)
        return f"{self._command}: {message}\n{self._log.read().decode(errors='replace')[-4_000:]}"
