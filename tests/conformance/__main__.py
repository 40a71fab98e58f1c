"""The conformance suite for a client in any language: `python -m tests.conformance --driver 'node driver.mjs'`."""

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path

from rota.db import migrations
from tests.acceptance.launching import Installed
from tests.conformance.runner import Verdict, run_all
from tests.conformance.service import KEY, service
from tests.support.postgres import PostgresServer


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the cases; return 0 if the client passes all of them, else 1."""
    given = _parser().parse_args(arguments)
    counted: Counter[str] = Counter()
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        url = stack.enter_context(_database(given.database, folder))
        begun = stack.enter_context(service(Installed(), url, folder))
        for verdict in run_all(begun.url, KEY, given.driver, given.words):
            status = _status(verdict)
            counted[status] += 1
            print(status, f"{verdict.file}: {verdict.case}")
            for fault in verdict.faults:
                print(f"         {fault}")
    print(
        f"{counted['passed']} of {counted.total()} cases passed, {counted['------']} not supported"
    )
    return 1 if counted["FAILED"] or not counted else 0


def _status(verdict: Verdict) -> str:
    if verdict.unsupported:
        return "------"
    return "FAILED" if verdict.faults else "passed"


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser("python -m tests.conformance", description=__doc__)
    parser.add_argument("--driver", required=True, help="the command that drives the client")
    parser.add_argument("--database", choices=["sqlite", "postgresql"], default="sqlite")
    parser.add_argument("words", nargs="*", help="only cases whose file or name has one of these")
    return parser


@contextmanager
def _database(kind: str, folder: Path) -> Iterator[str]:
    with ExitStack() as stack:
        if kind == "sqlite":
            url = f"sqlite:///{folder / 'rota.db'}"
        else:
            url = stack.enter_context(PostgresServer()).create_database()
        migrations.upgrade(url)
        yield url


if __name__ == "__main__":
    sys.exit(main())
