import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest

from rota.errors import Invalid
from rota.handlers import loading
from rota.handlers.discovery import discover
from tests.handlers.bench import BUILT_IN_NAMES

SOURCE = """
from functools import wraps
from rota import handler

def loud(function):
    @wraps(function)
    def wrapped(ctx):
        return function(ctx) + "!"
    return wrapped

@loud
@handler({name!r})
def hello(ctx):
    return "hello"
"""


@pytest.fixture(autouse=True)
def tidy(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    known = set(sys.modules)
    yield
    for name in set(sys.modules) - known:
        del sys.modules[name]


def test_a_file_can_import_neighbouring_modules(tmp_path: Path) -> None:
    (tmp_path / "rota_test_neighbour.py").write_text("WORD = 'there'")
    path = tmp_path / "handlers.py"
    path.write_text("from rota_test_neighbour import WORD\n" + SOURCE.format(name="hi"))

    registry = discover(["handlers.py"])

    assert sorted(registry) == sorted(["hi", *BUILT_IN_NAMES])
    assert registry["hi"].source == "handlers.py"


def test_a_handler_ping_of_one_s_own_takes_the_place_of_the_built_in_one(
    tmp_path: Path,
) -> None:
    (tmp_path / "handlers.py").write_text(SOURCE.format(name="ping"))

    assert discover(["handlers.py"])["ping"].source == "handlers.py"
    assert discover([])["ping"].source == "built in"


def test_a_file_is_loaded_once(tmp_path: Path) -> None:
    path = tmp_path / "handlers.py"
    path.write_text(SOURCE.format(name="hi"))

    assert discover([str(path)])["hi"].function is discover([str(path)])["hi"].function


def test_decorators_above_the_mark_count(tmp_path: Path) -> None:
    (tmp_path / "handlers.py").write_text(SOURCE.format(name="hi"))

    assert discover(["handlers.py"])["hi"].function(None) == "hello!"


@pytest.mark.parametrize("decorator", ["@handler", "@handler()", '@handler(timeout="5s")'])
def test_a_handler_without_a_name_has_the_name_of_its_function(
    tmp_path: Path, decorator: str
) -> None:
    source = f"from rota import handler\n\n{decorator}\ndef send_mail(ctx):\n    return 'sent'\n"
    (tmp_path / "handlers.py").write_text(source)

    assert discover(["handlers.py"])["send_mail"].function(None) == "sent"


def test_a_function_whose_name_no_task_could_write_needs_a_name(tmp_path: Path) -> None:
    source = "from rota import handler\n\n@handler\ndef _hidden(ctx): ...\n"
    (tmp_path / "handlers.py").write_text(source)

    with pytest.raises(Invalid, match="'_hidden' is no name for a handler: it must match"):
        discover(["handlers.py"])


def test_a_module_in_the_working_directory_is_found(tmp_path: Path) -> None:
    package = tmp_path / "rota_test_shop"
    package.mkdir()
    (package / "__init__.py").write_text("")
    (package / "jobs.py").write_text(SOURCE.format(name="sell"))

    assert "sell" in discover(["rota_test_shop.jobs"])


def test_entry_points_are_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "rota_test_plugin.py").write_text(SOURCE.format(name="plugged"))
    points = [
        metadata.EntryPoint("whole", "rota_test_plugin", loading.ENTRY_POINT_GROUP),
        metadata.EntryPoint("one", "rota_test_plugin:hello", loading.ENTRY_POINT_GROUP),
    ]
    monkeypatch.setattr(loading, "entry_points", lambda group: points)
    sys.path.append(str(tmp_path))

    assert "plugged" in discover([])


@pytest.mark.parametrize(
    ("entry", "source", "explanation"),
    [
        ("missing.py", None, r"There is no file 'missing.py' \(looked for /"),
        ("rota_test_missing.jobs", None, "There is no module 'rota_test_missing.jobs'"),
        ("empty.py", "x = 1", "'empty.py' holds no function with the decorator @handler"),
        ("broken.py", "1 / 0", r"'broken.py' cannot be imported: ZeroDivisionError: .*broken.py:1"),
        (
            "syntax.py",
            "def",
            r"'syntax.py' cannot be imported: SyntaxError: .*\(syntax.py, line 1\)\.$",
        ),
        ("leaves.py", "raise SystemExit(3)", "'leaves.py' cannot be imported: SystemExit: 3"),
        ("needs.py", "import rota_test_none", "cannot be imported: ModuleNotFoundError"),
    ],
)
def test_an_entry_that_gives_no_handlers_is_refused_with_the_cause(
    tmp_path: Path, entry: str, source: str | None, explanation: str
) -> None:
    if source is not None:
        (tmp_path / entry).write_text(source)

    with pytest.raises(Invalid, match=explanation):
        discover([entry])


def test_two_files_with_handlers_of_one_name_are_refused(tmp_path: Path) -> None:
    for name in ("a.py", "b.py"):
        (tmp_path / name).write_text(SOURCE.format(name="same"))

    with pytest.raises(Invalid, match=r"Two handlers are called 'same': .*a\.py.*b\.py"):
        discover(["a.py", "b.py"])
