"""`rota serve`, tied to the life of the benchmark that starts it."""

import sys

from benchmarks.processes import die_with_parent
from rota.cli import app

if __name__ == "__main__":
    die_with_parent()
    app(["serve", *sys.argv[1:]])
