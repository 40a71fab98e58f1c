"""Build the site from `docs/`, in `build/guide/site`: `make docs`, or `python -m tests.docs.site`.

Zensical reads a copy of the pages, whose links to other files of the repository lead to copies of these.
"""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path
from posixpath import normpath

from rota.web.guide.documents import FOLDER, Documents, Page, read
from rota.web.guide.llms import HEAD, listed
from tests.docs.programs import ROOT

_LINK = re.compile(r"(?<!!)\[([^\]\n]*)\]\((?!\w+:|/|#)([^)#\s]+)(#[^)]*)?\)")
_CODE = re.compile(r"(^ *```.*?^ *```$|`[^`\n]+`)", re.MULTILINE | re.DOTALL)
#: A browser loads nothing from other hosts, whatever a script of the theme asks for.
_POLICY = "default-src 'self' file: data: blob: 'unsafe-inline'"
_FRAME = f"""{{% extends "base.html" %}}
{{% block extrahead %}}<meta http-equiv="Content-Security-Policy" content="{_POLICY}">{{% endblock %}}
"""


def build(folder: Path, root: Path = ROOT) -> Path:
    """Build the site of a repository below a folder that is made anew; return where it is.

    Raises subprocess.CalledProcessError if a link is broken.
    """
    shutil.rmtree(folder, ignore_errors=True)
    there = read(root)
    for page in there.pages.values():
        _write(folder / "docs" / f"{page.name}.md", adapted(page, there))
    for path, file in there.files.items():
        _write(folder / "docs" / "files" / path, file.read_bytes())
    _write(folder / "overrides" / "main.html", _FRAME)
    _write(folder / "zensical.toml", (ROOT / "zensical.toml").read_bytes())
    program = Path(sys.executable).with_name("zensical")
    subprocess.run(
        [program, "build", "--strict"],
        cwd=folder,
        env=os.environ | {"PYTHONPATH": str(ROOT / "app"), "NO_COLOR": "1"},
        check=True,
    )
    site = folder / "site"
    for page in there.pages.values():
        shutil.copyfile(folder / "docs" / f"{page.name}.md", site / f"{page.name}.md")
    _write(site / "llms.txt", HEAD + listed(there, ""))
    return site


def adapted(page: Page, there: Documents) -> str:
    """Return the text of a page, with links to copies of files; a link to what there is no copy of is its text."""

    def linked(match: re.Match[str]) -> str:
        target = there.target(page.name, match[2])
        if target is None:
            is_page = normpath(f"{FOLDER}/{page.name}/../{match[2]}").startswith(f"{FOLDER}/")
            return match[0] if is_page else match[1]  # a page that is missing fails the build
        if not target.startswith("/guide/files/"):
            return match[0]
        path = target.removeprefix("/guide/")
        return f"[{match[1]}]({os.path.relpath(path, Path(page.name).parent)})"

    parts = _CODE.split(page.text)
    parts[::2] = [_LINK.sub(linked, part) for part in parts[::2]]
    return "".join(parts)


def _write(path: Path, content: str | bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


if __name__ == "__main__":
    made = build(ROOT / "build" / "guide")
    sys.stdout.write(f"Read it: {sys.executable} -m http.server --directory {made}\n")
