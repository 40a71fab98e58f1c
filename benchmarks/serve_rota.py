"""`rota serve`, tied to the life of the benchmark that starts it."""

import sys

from app.cli import app
from benchmarks.processes import die_with_parent

if __name__ == "__main__":
    die_with_parent()
    app(["serve", *sys.argv[1:]])
