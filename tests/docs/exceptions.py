"""What the pages show and a test cannot do as it stands: each with its reason, and with what is done in its place."""

import re
from dataclasses import dataclass

from tests.docs.programs import ROOT


@dataclass(frozen=True)
class Substitute:
    """A kind of command that is not typed. `instead` is typed in its place; nothing, if it is empty."""

    pattern: str
    reason: str
    instead: str = ":"


#: Commands, by how their line begins. The rest of the line is not typed either.
COMMANDS = (
    Substitute(
        r"git clone .*",
        "the repository has no address that a test could reach",
        f"mkdir rota && ln -s {ROOT}/examples {ROOT}/deploy {ROOT}/docs {ROOT}/.venv rota/ && cd rota",
    ),
    Substitute(
        r"(?P<settings>(?:[A-Z_]+=\S+ )*)make run\b.*",
        "it makes an environment from a registry; what it does then is done",
        "ROTA_DATABASE_URL=sqlite:///rota.db rota db upgrade && ROTA_DATABASE_URL=sqlite:///rota.db "
        "ROTA_HANDLERS=examples/handlers.py {settings}rota serve",
    ),
    Substitute(
        r"(?:python -m |\.venv/bin/)?pip install .*|uv (?:pip|add|venv|init|tool) .*",
        "it needs a registry; tests/acceptance/test_package.py installs the wheel",
    ),
    Substitute(r"python3? -m venv .*|(?:\.|source) \S*/bin/activate", "the environment is ready"),
    Substitute(
        r"(?:sudo )?docker .*", "it needs a Docker daemon; the names of settings are checked"
    ),
    Substitute(
        r"(?:sudo )?(?:apt-get|systemctl|journalctl|systemd-creds|useradd|nginx|caddy|certbot|install|chown) .*",
        "it changes the machine",
    ),
    Substitute(r"/opt/rota/bin/.*", "it is the environment of a machine that the page sets up"),
    Substitute(r"git pull.*", "the repository has no address that a test could reach"),
)
#: Blocks that are neither executed nor checked, by their page and their first line.
BLOCKS = {
    ("docs/guides/from-workmanager.md", "$ .venv/bin/python examples/workmanager.py"): (
        "it takes long; tests/acceptance/test_workmanager.py executes it"
    ),
}
#: Pages that another test executes.
PAGES = {"README.md": "tests/acceptance/test_readme.py types its commands"}


def instead_of(command: str) -> str:
    """Return what is typed in place of a command: mostly the command."""
    lines = re.sub(r"\\\n\s*", "", command).split("\n")
    typed = [_instead_of_line(line) for line in lines]
    return command if typed == lines else "\n".join(typed)


def _instead_of_line(line: str) -> str:
    for each in COMMANDS:
        if found := re.fullmatch(each.pattern, line.strip()):
            named = found.groupdict(default="")
            return each.instead.format(**named) if named else each.instead
    return line
