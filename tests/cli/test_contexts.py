"""`rota context`, and which server a command is for."""

import subprocess
import sys
from collections.abc import Mapping
from fcntl import LOCK_EX, flock
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from rota.cli import app, contexts
from rota.cli.contexts import Contexts, Server, change_contexts, chosen_server, read_contexts
from rota.cli.exits import CommandFailed

SHOP = Server("https://shop.example.com", "shop-key", "shop")
CRM = Server("https://crm.example.com", "crm-key", "crm")


@pytest.fixture(autouse=True)
def file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    for name in ("ROTA_URL", "ROTA_KEY", "ROTA_CONTEXT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path / "rota" / "contexts.toml"


def rota(*arguments: str, **options: Any) -> Result:
    return CliRunner().invoke(app, ["context", *arguments], **options)


def test_the_first_context_becomes_the_current_one(file: Path) -> None:
    first = rota("add", "shop", "--url", "https://shop.example.com/", "--key", "-", input="k1\n")
    second = rota("add", "crm", "--url", "http://127.0.0.1:8001")

    assert (first.exit_code, second.exit_code) == (0, 0)
    assert read_contexts() == Contexts(
        {
            "shop": Server("https://shop.example.com", "k1", "shop"),
            "crm": Server("http://127.0.0.1:8001", None, "crm"),
        },
        "shop",
    )
    assert file.stat().st_mode & 0o777 == 0o600


def test_contexts_are_listed_without_their_keys() -> None:
    change_contexts(lambda _: Contexts({"shop": SHOP, "crm": CRM}, "crm"))

    ended = rota("list")

    assert [line.split() for line in ended.stdout.splitlines()] == [
        ["NAME", "URL", "KEY"],
        ["*", "crm", CRM.url, "set"],
        ["shop", SHOP.url, "set"],
    ]
    assert "crm-key" not in ended.output


def test_another_context_is_used_and_removed() -> None:
    change_contexts(lambda _: Contexts({"shop": SHOP, "crm": CRM}, "crm"))

    assert rota("use", "shop").exit_code == 0
    assert read_contexts().current == "shop"
    assert rota("remove", "shop").exit_code == 0
    assert read_contexts() == Contexts({"crm": CRM}, None)


@pytest.mark.parametrize("verb", ["use", "remove"])
def test_a_context_that_is_not_there_is_a_4(verb: str) -> None:
    ended = rota(verb, "nope")

    assert ended.exit_code == 4
    assert "There is no context 'nope' (there are: none)" in ended.stderr


@pytest.mark.parametrize(
    "arguments",
    [("a b", "--url", "http://x"), ("a", "--url", "example.com"), ("a", "--url", "http://x:bad")],
)
def test_wrong_names_and_addresses_are_refused(arguments: tuple[str, ...]) -> None:
    assert rota("add", *arguments).exit_code == 2
    assert read_contexts() == Contexts()


def test_a_file_that_others_can_read_is_refused_with_the_command_that_corrects_it(
    file: Path,
) -> None:
    change_contexts(lambda _: Contexts({"shop": SHOP}, "shop"))
    file.chmod(0o644)

    ended = rota("list")

    assert ended.exit_code == 2
    assert f"chmod 600 {file}" in ended.stderr


@pytest.mark.parametrize("text", ["current =", "contexts = 3", "[contexts.a]\nurl = 3"])
def test_a_damaged_file_is_named(file: Path, text: str) -> None:
    change_contexts(lambda _: Contexts())
    file.write_text(text)

    ended = rota("list")

    assert ended.exit_code == 2
    assert "Traceback" not in ended.output


def test_any_text_is_read_as_it_was_written() -> None:
    odd = Server("https://shop.example.com", 'a"b\\c\x7f\u2028é😀', "shop")
    change_contexts(lambda _: Contexts({"shop": odd}, "shop"))

    assert read_contexts().named("shop") == odd


BOTH = Contexts({"shop": SHOP, "crm": CRM}, "shop")


@pytest.mark.parametrize(
    ("options", "environ", "chosen"),
    [
        ({}, {}, SHOP),
        ({}, {"ROTA_CONTEXT": "crm"}, CRM),
        ({"context": "crm"}, {"ROTA_CONTEXT": "shop"}, CRM),
        ({"context": "crm"}, {"ROTA_URL": "http://x", "ROTA_KEY": "k"}, CRM),
        ({}, {"ROTA_URL": "http://x"}, Server("http://x")),
        ({}, {"ROTA_URL": "http://x", "ROTA_KEY": "k"}, Server("http://x", "k")),
        ({"url": "http://y"}, {"ROTA_URL": "http://x", "ROTA_KEY": "k"}, Server("http://y", "k")),
        ({"key": "k"}, {}, Server(SHOP.url, "k", "shop")),
        ({"url": "http://y", "context": "crm"}, {}, Server("http://y")),
    ],
)
def test_the_server_that_a_command_is_for(
    options: Mapping[str, str], environ: Mapping[str, str], chosen: Server
) -> None:
    change_contexts(lambda _: BOTH)
    given: dict[str, str | None] = {"url": None, "key": None, "context": None, **options}

    assert chosen_server(**given, environ=environ) == chosen


def test_without_contexts_the_server_is_the_one_of_this_machine() -> None:
    chosen = chosen_server(url=None, key=None, context=None, environ={})

    assert chosen == Server("http://127.0.0.1:8000")


def test_a_key_does_not_show_in_errors() -> None:
    assert "shop-key" not in repr(SHOP)
    with pytest.raises(CommandFailed):
        BOTH.named("nope")


def test_a_file_that_cannot_be_written_leaves_no_key_beside_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    folder = tmp_path / "rota"

    def change(_: Contexts) -> Contexts:
        (folder / "contexts.toml").mkdir()  # a folder cannot be replaced
        return Contexts({"a": Server("http://a", "secret", "a")})

    with pytest.raises(CommandFailed, match="cannot be written"):
        change_contexts(change)

    names = sorted(each.name for each in folder.iterdir())
    assert names == [".contexts.toml.lock", "contexts.toml"]
    assert (folder / ".contexts.toml.lock").read_bytes() == b""


@pytest.mark.parametrize("fields", ["key = 5", "key = ['a']", "key = true"])
def test_a_key_that_is_no_text_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, fields: str
) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    path = tmp_path / "rota" / "contexts.toml"
    path.parent.mkdir()
    path.touch(mode=0o600)
    path.write_text(f'[contexts.a]\nurl = "http://a"\n{fields}\n')

    with pytest.raises(CommandFailed, match="damaged"):
        read_contexts()


def test_a_link_to_the_file_is_kept_and_the_file_behind_it_written(
    file: Path, tmp_path: Path
) -> None:
    behind = tmp_path / "dotfiles" / "rota.toml"
    behind.parent.mkdir()
    file.parent.mkdir()
    file.symlink_to("../dotfiles/rota.toml")  # there is none yet

    assert rota("add", "shop", "--url", SHOP.url).exit_code == 0
    assert rota("add", "crm", "--url", CRM.url).exit_code == 0

    assert file.is_symlink()
    assert not behind.is_symlink()
    assert behind.stat().st_mode & 0o777 == 0o600
    assert "shop.example.com" in behind.read_text()
    assert sorted(read_contexts().servers) == ["crm", "shop"]


_ADDING = """
import sys
from rota.cli import app, contexts
for number in range(25):
    name = f"{sys.argv[1]}-{number}"
    app(["context", "add", name, "--url", "http://127.0.0.1:1"], standalone_mode=False)
"""


def test_no_context_is_lost_that_several_processes_add_at_once() -> None:
    adding = [
        subprocess.Popen([sys.executable, "-c", _ADDING, name], stderr=subprocess.PIPE)
        for name in ("a", "b", "c", "d")
    ]
    said = [process.communicate(timeout=120) for process in adding]

    assert [process.returncode for process in adding] == [0] * 4, said
    assert len(read_contexts().servers) == 100


def test_a_command_does_not_wait_for_long_for_one_that_has_the_contexts_locked(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    change_contexts(lambda _: Contexts({"shop": SHOP}, "shop"))
    monkeypatch.setattr(contexts, "_TRIES", 2)
    with file.with_name(".contexts.toml.lock").open() as lock:
        flock(lock, LOCK_EX)
        ended = rota("add", "crm", "--url", CRM.url)

    assert ended.exit_code == 2
    assert "Another command has" in ended.stderr
    assert list(read_contexts().servers) == ["shop"]
