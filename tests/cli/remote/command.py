"""Calling `rota` in this process, for a service that listens."""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from typer.testing import CliRunner, Result

from rota.cli import app
from tests.api.service import Api


@dataclass(frozen=True)
class CommandLine:
    """Runs commands for one service; `api` calls it without them."""

    api: Api
    url: str
    environment: Mapping[str, str] = field(default_factory=dict)

    def run(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Result:
        """Run a command, which must end with this code."""
        environment = {"ROTA_URL": self.url, "NO_COLOR": "1", **self.environment}
        ended = CliRunner().invoke(app, [*arguments], input=stdin, env=environment)
        assert ended.exit_code == code, (ended.exit_code, ended.output, ended.exception)
        return ended

    def text(self, *arguments: str, code: int = 0, stdin: str | None = None) -> str:
        """Return what a command prints on the standard output."""
        return str(self.run(*arguments, code=code, stdin=stdin).stdout)

    def json(self, *arguments: str, code: int = 0, stdin: str | None = None) -> Any:
        """Return the JSON that a command prints."""
        return json.loads(self.text(*arguments, "--json", code=code, stdin=stdin))

    def lines(self, *arguments: str) -> list[Any]:
        """Return the objects that a command prints, one a line."""
        return [json.loads(line) for line in self.text(*arguments).splitlines()]

    def table(self, *arguments: str) -> list[Sequence[str]]:
        """Return the cells of a table that a command prints, by two spaces between them, without its head."""
        rows = [line.split("  ") for line in self.text(*arguments).splitlines()[1:]]
        return [[cell.strip() for cell in row if cell.strip()] for row in rows]
