"""Files that a page shows: read as what they are said to be, by the program that reads them if it is installed."""

import configparser
import json
import re
import shutil
import subprocess
import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

#: Languages of blocks that only people read.
PROSE = {"text", "mermaid"}


def check_file(language: str, path: Path | None, text: str) -> None:
    """Check a block that is a file or a part of one; raises AssertionError, or what its reader raises."""
    if language in PROSE:
        return
    check = _CHECKS.get(language)
    assert check is not None, f"nothing can check a block of the language {language!r}"
    check(path, text)


def _yaml(_path: Path | None, text: str) -> None:
    assert list(yaml.safe_load_all(text)) != [None]


def _json(_path: Path | None, text: str) -> None:
    """One document or several, one behind the other; `…` stands for what is left out."""
    decoder = json.JSONDecoder()
    rest = re.sub(r",?\s*…", "", text).strip()
    while rest:
        rest = rest[decoder.raw_decode(rest)[1] :].strip()


def _toml(_path: Path | None, text: str) -> None:
    tomllib.loads(text)


def _python(path: Path | None, text: str) -> None:
    compile(text, str(path), "exec")


def _javascript(path: Path | None, _text: str) -> None:
    if path is not None and (node := shutil.which("node")):
        _succeeds(node, "--check", str(path))


def _shell(path: Path | None, text: str) -> None:
    _succeeds("bash", "-n", str(path)) if path is not None else None


def _ini(path: Path | None, text: str) -> None:
    parser = configparser.ConfigParser(strict=False, interpolation=None, delimiters=("=",))
    parser.optionxform = str  # type: ignore[assignment,method-assign]  # as configparser documents it
    parser.read_string(text)
    assert parser.sections()
    program = shutil.which("systemd-analyze")
    if path is not None and path.suffix in {".service", ".timer"} and program:
        _verify_unit(program, path, text)


def _verify_unit(program: str, path: Path, text: str) -> None:
    """Let systemd check a unit; programs and users that only its machine has are replaced."""
    path.write_text(re.sub(r"(?m)^(Exec\w+=[-+!@:]*)\S+", r"\1/bin/true", text))
    done = subprocess.run(
        [program, "verify", "--man=no", path], check=False, capture_output=True, text=True
    )
    path.write_text(text)
    complaints = [line for line in done.stderr.splitlines() if path.name in line]
    assert complaints == [], done.stderr


def _braces(_path: Path | None, text: str) -> None:
    """Check what nginx, Caddy and Go have in common."""
    bare = re.sub(r"(#|//).*", "", text)
    assert bare.count("{") == bare.count("}")


def _nginx(_path: Path | None, text: str) -> None:
    _braces(_path, text)
    for line in re.sub(r"#.*", "", text).splitlines():
        assert not line.strip() or line.rstrip()[-1] in "{};", f"nginx reads no end of: {line}"


def _dockerfile(_path: Path | None, text: str) -> None:
    known = "FROM|RUN|COPY|USER|ENV|WORKDIR|CMD|ENTRYPOINT|ARG|EXPOSE|HEALTHCHECK|LABEL|VOLUME"
    for line in re.sub(r"\\\n", "", text).splitlines():
        assert not line or re.match(rf"(?:{known}) |#", line), line


def _crontab(_path: Path | None, text: str) -> None:
    for line in text.splitlines():
        words = line.split(maxsplit=5)
        is_entry = len(words) == 6 or (line.startswith("@") and len(words) > 1)
        assert not line or line.startswith("#") or "=" in words[0] or is_entry, line


def _succeeds(*command: str) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


_CHECKS: Mapping[str, Callable[[Path | None, str], None]] = {
    "bash": _shell,
    "caddyfile": _braces,
    "crontab": _crontab,
    "dockerfile": _dockerfile,
    "go": _braces,
    "ini": _ini,
    "js": _javascript,
    "json": _json,
    "nginx": _nginx,
    "python": _python,
    "sh": _shell,
    "toml": _toml,
    "yaml": _yaml,
}
