import inspect
import pkgutil
import subprocess
import sys
from importlib import import_module
from typing import Any

import rota.client.sync
from rota.client import AsyncRota, Rota
from tests.client.sync_half import sync_half

#: A program that only calls a service waits for none of these.
HEAVY = ("fastapi", "sqlalchemy", "sqlmodel", "rota.sdk", "rota.domain", "rota.client.aio")


def test_the_half_that_awaits_nothing_is_made_from_the_other_one() -> None:
    for path, text in sync_half():
        assert path.read_text() == text, f"{path}: run python -m tests.client.sync_half"


def test_the_half_that_awaits_nothing_awaits_nothing() -> None:
    for module in pkgutil.walk_packages(rota.client.sync.__path__, "rota.client.sync."):
        for name, kind in inspect.getmembers(import_module(module.name), inspect.isclass):
            if kind.__module__ == module.name:
                assert not inspect.getmembers(kind, inspect.iscoroutinefunction), name


def test_both_halves_have_the_samemethods() -> None:
    with Rota("http://localhost:1") as one:
        other = AsyncRota("http://localhost:1")
        assert methods(one) == methods(other)
        assert methods(one.task("t")) == methods(other.task("t"))
        assert methods(one.run("r")) == methods(other.run("r"))


def test_the_client_imports_nothing_that_it_does_not_need() -> None:
    script = "import sys; from rota.client import Rota; print(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True
    )

    loaded = set(done.stdout.split())

    assert "rota.client.sync.rota" in loaded
    assert not [name for name in HEAVY if name in loaded]


def methods(thing: Any) -> dict[str, Any]:
    """Return the arguments of each public method of a client, a namespace or a handle."""
    found: dict[str, Any] = {}
    for name, value in inspect.getmembers(thing):
        if name.startswith("_"):
            continue
        if callable(value):
            found[name] = list(inspect.signature(value).parameters)
        elif type(value).__module__.startswith("rota.client."):
            found |= {f"{name}.{each}": given for each, given in methods(value).items()}
    return found
