"""A reader who does all that a page shows, from its top to its end, in one folder."""

import contextlib
import io
import re
import runpy
import shutil
import socket
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import chain
from pathlib import Path
from types import ModuleType

import httpx
import pytest

from tests.acceptance.server import free_port
from tests.docs.blocks import Block
from tests.docs.exceptions import instead_of
from tests.docs.files import check_file
from tests.docs.output import agrees
from tests.docs.programs import ROOT, link_clone, readers_environment
from tests.docs.shell import Background, Shell
from tests.support.factories import eventually

_PORTS = re.compile(r"(?:127\.0\.0\.1|localhost|0\.0\.0\.0|--port[ =]|PORT=):?(\d{4,5})\b")
_USES_SERVICE = re.compile(r":8000\b|\brota [a-z]|\bRota\(")
_SERVES = re.compile(r"(?:^|\s)(?:rota (?:serve|dev)|make run)\b")
#: Seconds until what a page shows has happened.
_PATIENCE = 20.0
_MODULE = "a_page"


class Reader:
    """Does what the blocks of a page say, in a folder of its own below `folder`."""

    def __init__(
        self, blocks: Sequence[Block], folder: Path, programs: Path, patch: pytest.MonkeyPatch
    ) -> None:
        text = "\n".join(block.text for block in blocks)
        self._marks = dict(chain.from_iterable(block.marks.items() for block in blocks))
        self._folder = folder / "project"
        self._folder.mkdir()
        named = {"8000", *_PORTS.findall(text)}
        #: By the port that the page names, one that is free.
        self._ports = {port: str(free_port()) for port in sorted(named)}
        self._programs = programs
        self._environment = readers_environment(folder, programs, self._ports)
        self._shell = Shell(self._folder, self._environment, folder)
        self._running: dict[str, Background] = {}
        self._printed = ""
        #: Whether the page begins with a service that runs.
        self._finds_service = bool(_USES_SERVICE.search(text)) and not _SERVES.search(text)
        self._module = ModuleType(_MODULE)
        if "clone" in self._marks:
            link_clone(self._folder)
        self._enter(patch)

    def close(self) -> None:
        """Leave nothing behind that runs."""
        self._shell.close()
        for name, module in list(sys.modules.items()):
            if str(getattr(module, "__file__", None)).startswith(str(self._folder)):
                del sys.modules[name]

    def do(self, block: Block) -> None:
        """Do what a block shows; raises AssertionError if that is not what happens."""
        block = self._with_free_ports(block)
        if "stop" in block.marks:
            self._stop_all()
        if block.is_output:
            self._compare(block.text, self._printed)
        elif block.file is not None:
            self._save(block.file, block)
        elif block.language in _DOES:
            self._find_service()
            _DOES[block.language](self, block)
        else:
            check_file(block.language, None, block.text)

    def _console(self, block: Block) -> None:
        for command, shown in commands_of(block.text):
            self._type(command, shown, block)

    def _script(self, block: Block) -> None:
        self._type(block.text.strip(), "", block)

    def _javascript(self, block: Block) -> None:
        script = self._folder / ".block.mjs"
        script.write_text(block.text)
        self._type(f"node {script}", "", block)

    def _python(self, block: Block) -> None:
        """Execute it in the module that all blocks of the page share."""
        padded = "\n" * block.line + block.text  # so that a traceback names the line of the page
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(compile(padded, "<page>", "exec"), self._module.__dict__)
        self._printed = printed.getvalue()

    def _type(self, command: str, shown: str, block: Block) -> None:
        command = instead_of(command)
        if "background" in block.marks or _SERVES.search(command):
            self._begin(command, shown, block.marks.get("background"))
            return
        wanted = int(block.marks.get("exit", "0"))

        def as_shown() -> bool:
            ended = self._shell.run(command)
            self._printed = self._as_on_the_page(ended.printed)
            return ended.code == wanted and (not shown or agrees(shown, self._printed))

        if "eventually" in block.marks:
            with contextlib.suppress(AssertionError):
                eventually(as_shown, within=_PATIENCE)
                return
        elif as_shown():
            return
        raise AssertionError(f"$ {command}\n{self._printed}\n--- the page shows ---\n{shown}")

    def _begin(self, command: str, shown: str, port: str | None) -> None:
        """Start what goes on, and wait until it can be used."""
        is_service = bool(_SERVES.search(command))
        name = "service" if is_service else command
        if name in self._running:
            self._shell.stop(self._running.pop(name))
        begun = self._running[name] = self._shell.begin(command)

        def is_there() -> bool:
            assert begun.is_running, begun.printed
            self._printed = self._as_on_the_page(begun.printed)
            if is_service:
                return self._is_ready()
            return port is None or _listens(int(self._ports.get(port, port)))

        eventually(is_there, f"{command} does not start", _PATIENCE * 3)
        if shown:
            eventually(
                lambda: agrees(shown + "\n…", self._as_on_the_page(begun.printed) + "\n"),
                f"{command} prints\n{begun.printed}\nand not\n{shown}",
                _PATIENCE,
            )

    def _find_service(self) -> None:
        """Let the reader find a service that runs, on a page that starts none."""
        if not self._finds_service or "service" in self._running:
            return
        handlers = self._marks.get("handlers", str(ROOT / "examples/handlers.py"))
        database = self._folder.parent / "r.db"
        shutil.copyfile(self._empty_database(), database)
        self._begin(
            f"ROTA_HANDLERS={handlers} ROTA_DATABASE_URL=sqlite:////{database} rota serve", "", None
        )

    def _empty_database(self) -> Path:
        """Return a database with tables, made once for all pages."""
        made = self._programs / "empty.db"
        if not made.exists():
            upgraded = self._shell.run(f"ROTA_DATABASE_URL=sqlite:////{made} rota db upgrade")
            assert upgraded.code == 0, upgraded.printed
        return made

    def _is_ready(self) -> bool:
        try:
            url = f"http://127.0.0.1:{self._ports['8000']}/readyz"
            return httpx.get(url, trust_env=False).is_success
        except httpx.TransportError:
            return False

    def _save(self, name: str, block: Block) -> None:
        path = self._working_folder() / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(block.text)
        check_file(block.language, path, block.text)
        if path.suffix == ".py":
            runpy.run_path(str(path), run_name=path.stem)

    def _working_folder(self) -> Path:
        """Return the folder that the reader has changed to."""
        return Path(self._shell.run("pwd").printed.strip())

    def _compare(self, shown: str, printed: str) -> None:
        assert agrees(shown, printed), f"{printed}\n--- the page shows ---\n{shown}"

    def _stop_all(self) -> None:
        while self._running:
            self._shell.stop(self._running.popitem()[1])

    def _with_free_ports(self, block: Block) -> Block:
        return Block(
            block.language,
            _replaced(block.text, self._ports),
            block.line,
            block.follows,
            block.marks,
        )

    def _as_on_the_page(self, printed: str) -> str:
        """Return what was printed, with the ports of the blocks, and without the reader's folder."""
        return printed.replace(str(self._folder), "…")

    def _enter(self, patch: pytest.MonkeyPatch) -> None:
        """Let Python that is executed here find what the reader would find."""
        patch.chdir(self._folder)
        patch.syspath_prepend(self._folder)
        patch.setitem(sys.modules, _MODULE, self._module)
        for name in ("ROTA_URL", "ROTA_PORT", "HOME", "XDG_CONFIG_HOME"):
            patch.setenv(name, self._environment[name])


_DOES: Mapping[str, Callable[[Reader, Block], None]] = {
    "console": Reader._console,
    "sh": Reader._script,
    "bash": Reader._script,
    "js": Reader._javascript,
    "python": Reader._python,
}


def commands_of(text: str) -> Iterator[tuple[str, str]]:
    """Yield the commands of a block for a terminal, each with what is printed then."""
    command: list[str] = []
    shown: list[str] = []
    for line in text.splitlines():
        if line.startswith("$ "):
            if command:
                yield "\n".join(command), "\n".join(shown)
            command, shown = [line[2:]], []
        elif line.startswith("> ") and not shown:
            command.append(line[2:])
        elif command and not shown and (command[-1].endswith("\\") or _is_open(command)):
            command.append(line)
        else:
            assert command, f"a block for a terminal begins with `$ `, and not with {line}"
            shown.append(line)
    assert command, "a block for a terminal has no command"
    yield "\n".join(command), "\n".join(shown)


def _is_open(command: list[str]) -> bool:
    """Return whether a quotation goes on after the last line of a command."""
    return "\n".join(command).count("'") % 2 == 1


def programs_of(blocks: list[Block]) -> set[str]:
    """Return the programs that a page needs, of those that a machine may not have."""
    typed = "\n".join(block.text for block in blocks if block.language in _DOES)
    scripts = {"node"} if any(block.language in {"js", "mjs"} for block in blocks) else set()
    optional = "curl|go|jq|node|openssl|pg_dump|sqlite3|crontab"
    return scripts | set(re.findall(rf"(?:^|[|(] ?|[$] )({optional}) ", typed, re.MULTILINE))


def _replaced(text: str, ports: Mapping[str, str]) -> str:
    return re.sub(r"\b\d{4,5}\b", lambda found: ports.get(found[0], found[0]), text)


def _listens(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0
