"""The time zone database: the release that is pinned with the service, not that of the machine.

All replicas agree on what a local time is if, and only if, they read the same release.
"""

import zoneinfo
from base64 import b64decode, b64encode
from collections.abc import Iterator, Mapping
from functools import cached_property
from hashlib import blake2b
from importlib.resources import files as resources_of
from io import BytesIO
from pathlib import Path
from zlib import compress, decompress
from zoneinfo import ZoneInfo

import tzdata

from rota.domain.primitives.json import json_text
from rota.errors import Unplannable

#: What a machine has whose zone was never set; no place goes by it.
_NO_ZONE = "Factory"


class ZoneDatabase:
    """One release of the IANA time zone database: the compiled file of each zone, by its name."""

    def __init__(self, version: str, files: Mapping[str, bytes]) -> None:
        self.version = version
        self._files = files
        self._zones: dict[str, ZoneInfo] = {}

    def __repr__(self) -> str:
        return f"ZoneDatabase({self.version!r})"

    @cached_property
    def names(self) -> frozenset[str]:
        """The names of the zones."""
        return frozenset(self._files)

    @cached_property
    def release(self) -> str:
        """The version with a digest of the files, which identifies a release; a newer one is greater."""
        digest = blake2b(digest_size=4)
        for name in sorted(self.names):
            digest.update(f"{name}\n".encode() + self._files[name])
        return f"{self.version}-{digest.hexdigest()}"

    def file(self, name: str) -> bytes:
        """Return the compiled file of a zone."""
        return self._files[name]

    def zone(self, name: str) -> ZoneInfo:
        """Return a zone, always the same object; raises Unplannable if there is none of this name."""
        found = self._zones.get(name)
        if found is None:
            if name not in self.names:
                raise Unplannable(f"The time zone {name!r} is not known any more.")
            read = ZoneInfo.from_file(BytesIO(self._files[name]), key=name)
            found = self._zones.setdefault(name, read)
        return found

    @cached_property
    def packed(self) -> bytes:
        """All files, to be kept; many zones have several names, so each file is in it once."""
        names: dict[str, list[str]] = {}
        for name in sorted(self.names):
            names.setdefault(b64encode(self._files[name]).decode(), []).append(name)
        return compress(json_text.dumps(names).encode())

    @classmethod
    def unpack(cls, release: str, packed: bytes) -> "ZoneDatabase":
        """Return the database of a release that was packed."""
        names: dict[str, list[str]] = json_text.loads(decompress(packed).decode())
        return cls(
            release.partition("-")[0],
            {name: b64decode(content) for content, those in names.items() for name in those},
        )


class _PackagedFiles(Mapping[str, bytes]):
    """The files of the package `tzdata`; nothing else in its folder is a zone."""

    @cached_property
    def _names(self) -> frozenset[str]:
        listed = (resources_of("tzdata") / "zones").read_text("ascii").split()
        return frozenset(listed) - {_NO_ZONE}

    def __getitem__(self, name: str) -> bytes:
        if name not in self._names:
            raise KeyError(name)
        return resources_of("tzdata").joinpath("zoneinfo", *name.split("/")).read_bytes()

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


class _MachinesFiles(_PackagedFiles):
    """The same zones as the machine has them in its folders, where it does."""

    def __getitem__(self, name: str) -> bytes:
        for folder in zoneinfo.TZPATH:
            path = Path(folder, name)
            if name in self._names and path.is_file():
                return path.read_bytes()
        return super().__getitem__(name)


#: What everything is computed with.
PINNED = ZoneDatabase(tzdata.IANA_VERSION, _PackagedFiles())
#: What was computed with before there was a pinned one.
OF_THE_MACHINE = ZoneDatabase("", _MachinesFiles())
