"""Releases of the time zone database: the one that stored fire times are computed with, and those of the replicas."""

from dataclasses import dataclass
from typing import NamedTuple

from sqlalchemy import Connection, delete, insert, select, update

from rota.db.command import Command, Transaction
from rota.db.tables import replica, zone_release
from rota.domain.time_zones.database import ZoneDatabase


class CurrentRelease(NamedTuple):
    """The release that stored fire times are computed with; `mixed`: there were replicas with another one."""

    release: str
    mixed: bool


@dataclass(frozen=True, slots=True)
class StoreRelease(Command[None]):
    """Store the files of a release, so that a replica with another one can compute with it."""

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
class SetCurrentRelease(Command[bool]):
    """Record that all stored fire times are computed with a stored release; False if that has changed since `read`."""

    release: str
    read: CurrentRelease | None

    def apply(self, tx: Transaction) -> bool:
        if current_release(tx.connection) != self.read:
            return False
        rules = zone_release.c.since.is_not(None)
        tx.connection.execute(update(zone_release).where(rules).values(since=None, mixed=False))
        current = tx.connection.execute(
            update(zone_release)
            .where(zone_release.c.release == self.release)
            .values(since=tx.now, mixed=False)
        )
        return current.rowcount == 1


@dataclass(frozen=True, slots=True)
class MarkMixed(Command[None]):
    """Record that there are replicas with another release, which store fire times as well."""

    release: str

    def apply(self, tx: Transaction) -> None:
        tx.connection.execute(
            update(zone_release)
            .where(zone_release.c.release == self.release, zone_release.c.since.is_not(None))
            .values(mixed=True)
        )


@dataclass(frozen=True, slots=True)
class RemoveUnusedReleases(Command[None]):
    """Remove the releases that neither fire times nor replicas use."""

    def apply(self, tx: Transaction) -> None:
        of_replicas = select(replica.c.zone_release).where(replica.c.zone_release.is_not(None))
        tx.connection.execute(
            delete(zone_release).where(
                zone_release.c.since.is_(None), zone_release.c.release.not_in(of_replicas)
            )
        )


def current_release(connection: Connection) -> CurrentRelease | None:
    """Return the release that stored fire times are computed with; None if that was never recorded."""
    current = select(zone_release.c.release, zone_release.c.mixed).where(
        zone_release.c.since.is_not(None)
    )
    row = connection.execute(current).one_or_none()
    return None if row is None else CurrentRelease(row.release, row.mixed)


def live_releases(connection: Connection) -> frozenset[str]:
    """Return the releases of the replicas."""
    releases = select(replica.c.zone_release).where(replica.c.zone_release.is_not(None)).distinct()
    return frozenset(connection.execute(releases).scalars())


def other_releases(connection: Connection, release: str) -> list[str]:
    """Return the other stored releases, the newest first."""
    others = select(zone_release.c.release).where(zone_release.c.release != release)
    return sorted(connection.execute(others).scalars(), reverse=True)


def stored_release(connection: Connection, release: str) -> ZoneDatabase | None:
    """Return the database of a release, if its files are stored."""
    kept = select(zone_release.c.files).where(zone_release.c.release == release)
    files = connection.execute(kept).scalar_one_or_none()
    return None if files is None else ZoneDatabase.unpack(release, files)
