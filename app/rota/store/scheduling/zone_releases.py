"""Time zone databases: which one stored fire times are computed with, and which ones the replicas have."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from rota.db.tables import replica, zone_release
from rota.db.writer import Command, Transaction
from rota.domain.time_zones.database import ZoneDatabase


class Ruling(NamedTuple):
    """The release that stored fire times are computed with; `mixed`: replicas with another one were there."""

    release: str
    mixed: bool


@dataclass(frozen=True, slots=True)
class KeepRelease(Command[None]):
    """Keep the files of a release, so that a replica with another one knows what was computed with it."""

    database: ZoneDatabase

    def apply(self, tx: Transaction) -> None:
        release = self.database.release
        known = select(zone_release.c.release).where(zone_release.c.release == release)
        if tx.connection.execute(known).scalar_one_or_none() is None:
            tx.connection.execute(
                insert(zone_release).values(
                    release=release, mixed=False, files=self.database.packed
                )
            )


@dataclass(frozen=True, slots=True)
class Rule(Command[bool]):
    """Note that all stored fire times are computed with a release that is kept; False: it is not as it was read."""

    release: str
    read: Ruling | None

    def apply(self, tx: Transaction) -> bool:
        if ruling_release(tx.connection) != self.read:
            return False
        rules = zone_release.c.since.is_not(None)
        tx.connection.execute(update(zone_release).where(rules).values(since=None, mixed=False))
        ruling = tx.connection.execute(
            update(zone_release)
            .where(zone_release.c.release == self.release)
            .values(since=tx.now, mixed=False)
        )
        return ruling.rowcount == 1


@dataclass(frozen=True, slots=True)
class NoteMixed(Command[None]):
    """Note that replicas with another release are there, which store what they compute as well."""

    release: str

    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(
            update(zone_release)
            .where(zone_release.c.release == self.release, zone_release.c.since.is_not(None))
            .values(mixed=True)
        )


@dataclass(frozen=True, slots=True)
class ForgetReleases(Command[None]):
    """Forget the releases that neither rule nor are of a replica."""

    def apply(self, tx: Transaction) -> None:
        of_replicas = select(replica.c.zone_release).where(replica.c.zone_release.is_not(None))
        tx.connection.execute(
            delete(zone_release).where(
                zone_release.c.since.is_(None), zone_release.c.release.not_in(of_replicas)
            )
        )


def ruling_release(connection: Connection) -> Ruling | None:
    """Return the release that stored fire times are computed with; None: that was never noted."""
    ruling = select(zone_release.c.release, zone_release.c.mixed).where(
        zone_release.c.since.is_not(None)
    )
    row = connection.execute(ruling).one_or_none()
    return None if row is None else Ruling(row.release, row.mixed)


def live_releases(connection: Connection) -> frozenset[str]:
    """Return the releases of the replicas, of those that have not been removed."""
    releases = select(replica.c.zone_release).where(replica.c.zone_release.is_not(None)).distinct()
    return frozenset(connection.execute(releases).scalars())


def other_releases(connection: Connection, release: str) -> list[str]:
    """Return the releases that are kept besides one, the newest first."""
    others = select(zone_release.c.release).where(zone_release.c.release != release)
    return sorted(connection.execute(others).scalars(), reverse=True)


def kept_release(connection: Connection, release: str) -> ZoneDatabase | None:
    """Return the database of a release, if its files are kept."""
    kept = select(zone_release.c.files).where(zone_release.c.release == release)
    files = connection.execute(kept).scalar_one_or_none()
    return None if files is None else ZoneDatabase.unpack(release, files)
