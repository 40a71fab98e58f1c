"""The holds as they were read last: every connection carries them, so that they are read again only if they changed."""

from sqlalchemy import Connection

from rota.domain.holds.held import NO_HOLDS, Holds, HoldsVersion

#: The execution option of a connection.
KNOWN_HOLDS = "rota_known_holds"


class KnownHolds:
    """The holds of a database as they were read last; replaced as one, since several threads read it."""

    __slots__ = ("latest", "written")

    def __init__(self) -> None:
        self.latest: Holds = NO_HOLDS
        #: The version that this process has written last, or has seen in a transaction of its writer.
        self.written: HoldsVersion | None = None


def known_holds_of(connection: Connection) -> KnownHolds:
    """Return what is known of the connection's database; nothing, of a connection without a `Database`."""
    known: KnownHolds | None = connection.get_execution_options().get(KNOWN_HOLDS)
    return KnownHolds() if known is None else known
