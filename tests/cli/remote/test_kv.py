"""`rota kv`: entries are read, written, edited and watched."""

import sys
from pathlib import Path
from typing import Any

import pytest

from rota.cli.remote.service import Service
from rota.client import Unreachable
from tests.cli.remote.command import CommandLine


@pytest.fixture
def editor(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Any:
    """Let $EDITOR be a program that is executed with the path of the file, as `path`."""

    def use(program: str) -> None:
        script = tmp_path / "editor.py"
        script.write_text(f"import sys, pathlib\npath = pathlib.Path(sys.argv[1])\n{program}\n")
        monkeypatch.setenv("EDITOR", f"{sys.executable} {script}")
        monkeypatch.setenv("TMPDIR", str(tmp_path))
        monkeypatch.setattr("tempfile.tempdir", str(tmp_path))

    return use


def entry(rota: CommandLine, task: str, key: str = "a") -> Any:
    return rota.api.read(f"/v1/tasks/{task}/kv/{key}")


def test_values_are_json_or_text(rota: CommandLine) -> None:
    rota.api.task("kv-set")

    for key, value in (("number", "5.0"), ("object", '{"b": [1]}'), ("words", "two words")):
        rota.run("kv", "set", "kv-set", key, value)
    rota.run("kv", "set", "kv-set", "digits", "5", "--text")
    rota.run("kv", "set", "kv-set", "piped", "-", stdin="[1, 2]\n")

    assert rota.text("kv", "get", "kv-set", "number") == "5.0\n"
    assert rota.json("kv", "get", "kv-set", "object")["value"] == {"b": [1]}
    assert rota.text("kv", "get", "kv-set", "words") == '"two words"\n'
    assert rota.text("kv", "get", "kv-set", "digits") == '"5"\n'
    assert entry(rota, "kv-set", "piped")["value"] == [1, 2]


def test_what_begins_as_an_object_or_a_list_and_is_none_is_refused(rota: CommandLine) -> None:
    rota.api.task("kv-slip")

    for slip in ("{bad", "[1, 2"):
        assert "is not JSON" in rota.run("kv", "set", "kv-slip", "a", slip, code=2).stderr
    rota.run("kv", "set", "kv-slip", "a", "{bad", "--text")

    assert entry(rota, "kv-slip")["value"] == "{bad"


def test_an_entry_is_written_only_at_the_version_that_is_given(rota: CommandLine) -> None:
    rota.api.task("kv-version")

    rota.run("kv", "set", "kv-version", "a", "1", "--if-version", "0", "--ttl", "1h")
    rota.run("kv", "set", "kv-version", "a", "2", "--if-version", "0", code=5)
    rota.run("kv", "set", "kv-version", "a", "2", "--if-version", "7", code=5)
    version = rota.json("kv", "get", "kv-version", "a")["version"]
    rota.run("kv", "set", "kv-version", "a", "2", "--if-version", str(version))

    assert (entry(rota, "kv-version")["value"], entry(rota, "kv-version")["expires_at"]) == (
        2,
        None,
    )


def test_entries_are_listed_and_deleted_by_key_and_by_prefix(rota: CommandLine) -> None:
    rota.api.task("kv-list", kv={"a": 1, "user:1": "x" * 100, "user:2": None})

    assert [each["key"] for each in rota.json("kv", "list", "kv-list", "--prefix", "user:")] == [
        "user:1",
        "user:2",
    ]
    assert "a    " in rota.text("kv", "list", "kv-list")
    assert "x…" in rota.text("kv", "list", "kv-list")
    rota.run("kv", "delete", "kv-list", "a", "missing", code=4)
    rota.run("kv", "delete", "kv-list", "--prefix", "user:", code=2)
    assert rota.text("kv", "delete", "kv-list", "--prefix", "user:", "--yes") == "Deleted: 2.\n"
    assert rota.run("kv", "list", "kv-list").stderr == "There are no such entries.\n"
    rota.run("kv", "get", "kv-list", "a", code=4)
    rota.run("kv", "get", "nobody", "a", code=4)


def test_bytes_are_printed_as_they_are(rota: CommandLine) -> None:
    rota.api.task("kv-bytes")
    rota.api.put(
        "/v1/tasks/kv-bytes/kv/b", content=b"\xff\x00", headers={"content-type": "image/png"}
    )

    assert rota.run("kv", "get", "kv-bytes", "b").stdout_bytes == b"\xff\x00"
    assert "(bytes)" in rota.text("kv", "list", "kv-bytes")
    assert "has bytes" in rota.run("kv", "edit", "kv-bytes", "b", code=2).stderr


def test_a_value_is_edited_and_its_expiry_stays(rota: CommandLine, editor: Any) -> None:
    rota.api.task("kv-edit", kv={"a": {"n": 1}})
    rota.run("kv", "set", "kv-edit", "a", '{"n": 1}', "--ttl", "1h")
    editor("path.write_text(path.read_text().replace('1', '2'))")

    said = rota.text("kv", "edit", "kv-edit", "a")

    written = entry(rota, "kv-edit")
    assert said.startswith("a is written, version ")
    assert written["value"] == {"n": 2}
    assert written["expires_at"] is not None


def test_an_entry_that_does_not_exist_is_made_by_editing(rota: CommandLine, editor: Any) -> None:
    rota.api.task("kv-new")
    editor("path.write_text('[1]')")

    rota.run("kv", "edit", "kv-new", "a")

    assert entry(rota, "kv-new")["value"] == [1]
    rota.run("kv", "edit", "nobody", "a", code=4)


def test_nothing_is_written_if_nothing_was_changed(
    rota: CommandLine, editor: Any, tmp_path: Path
) -> None:
    rota.api.task("kv-same", kv={"a": 1})
    before = entry(rota, "kv-same")
    editor("pass")

    assert "Nothing was changed." in rota.run("kv", "edit", "kv-same", "a").stderr
    assert entry(rota, "kv-same") == before
    assert [*tmp_path.glob("rota-*")] == []


def test_what_was_typed_is_kept_if_the_entry_was_changed_meanwhile(
    rota: CommandLine, editor: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rota.api.task("kv-conflict", kv={"a": 1})
    edited = __import__("rota.cli.remote.kv.editing", fromlist=["_open_editor"])
    opened = edited._open_editor
    editor("path.write_text('\"typed\"')")

    def meanwhile(path: Path) -> None:
        opened(path)
        rota.api.put("/v1/tasks/kv-conflict/kv/a", json={"value": "theirs"})

    monkeypatch.setattr(edited, "_open_editor", meanwhile)

    ended = rota.run("kv", "edit", "kv-conflict", "a", code=5)

    (kept,) = tmp_path.glob("rota-a-*.json")
    assert "It was changed meanwhile." in ended.stderr
    assert str(kept) in ended.stderr
    assert kept.read_text() == '"typed"'
    assert kept.stat().st_mode & 0o077 == 0
    assert entry(rota, "kv-conflict")["value"] == "theirs"


@pytest.mark.parametrize(
    ("program", "words"),
    [
        ("path.write_text('{')", "That is no JSON"),
        ("path.write_text('9'); sys.exit(1)", "The editor ended with 1"),
    ],
)
def test_what_was_typed_is_kept_if_it_cannot_be_used(
    rota: CommandLine, editor: Any, tmp_path: Path, program: str, words: str
) -> None:
    rota.api.task("kv-typed", kv={"a": 1})
    editor(program)

    ended = rota.run("kv", "edit", "kv-typed", "a", code=2)

    (kept,) = tmp_path.glob("rota-a-*.json")
    assert words in ended.stderr
    assert str(kept) in ended.stderr
    assert entry(rota, "kv-typed")["value"] == 1


def test_changes_are_watched_the_present_entries_first(rota: CommandLine) -> None:
    rota.api.task("kv-watch", kv={"a": 1, "b": 2})

    present = rota.lines("kv", "watch", "kv-watch", "--initial", "-n", "3", "--json")
    one = rota.text("kv", "watch", "kv-watch", "a", "--initial", "-n", "1")

    assert [each["type"] for each in present] == ["kv.set", "kv.set", "kv.ready"]
    assert "a = 1  version=" in one
    rota.run("kv", "watch", "nobody", code=4)


@pytest.mark.parametrize("key", ["..", ".", ""])
def test_a_key_that_leads_elsewhere_deletes_no_task(rota: CommandLine, key: str) -> None:
    name = f"kv-dots-{len(key)}"
    rota.api.task(name)
    rota.run("kv", "set", name, "a", "1")

    rota.run("kv", "delete", name, key, code=2)

    assert entry(rota, name)["value"] == 1


def test_an_entry_that_may_have_been_written_is_not_called_unwritten(
    rota: CommandLine, editor: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    rota.api.task("kv-lost")
    editor("path.write_text('2')")
    called = Service.call

    def lost(self: Service, method: str, *arguments: Any, **fields: Any) -> Any:
        if method == "POST":
            raise Unreachable("the answer is lost", may_be_done=True)
        return called(self, method, *arguments, **fields)

    monkeypatch.setattr(Service, "call", lost)
    ended = rota.run("kv", "edit", "kv-lost", "a", code=3)

    assert "Nothing is written" not in ended.stderr
    assert "may have been written" in ended.stderr


@pytest.mark.parametrize("typed", [r"b'\xff'", "b'NaN'"])
def test_what_is_typed_and_is_no_json_is_kept(rota: CommandLine, editor: Any, typed: str) -> None:
    rota.api.task(f"kv-typed-{len(typed)}")
    editor(f"path.write_bytes({typed})")

    ended = rota.run("kv", "edit", f"kv-typed-{len(typed)}", "a", code=2)

    assert "What you typed is in" in ended.stderr


def test_bytes_are_shown_on_a_terminal_and_written_as_they_are_in_a_pipe(
    rota: CommandLine, monkeypatch: pytest.MonkeyPatch
) -> None:
    rota.api.task("kv-bytes")
    content = b"a\x1b[2J\xff\n"
    headers = {"content-type": "application/octet-stream"}
    assert rota.api.put("/v1/tasks/kv-bytes/kv/a", content=content, headers=headers).is_success

    piped = rota.run("kv", "get", "kv-bytes", "a").stdout_bytes
    monkeypatch.setattr("rota.cli.remote.kv.entries.is_terminal", lambda: True)
    shown = rota.run("kv", "get", "kv-bytes", "a").stdout_bytes

    assert piped == content
    assert shown == b"a\\u001b[2J\\xff\n\n"
