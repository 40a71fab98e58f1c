"""The names that a key is limited to: those that begin with one of its prefixes."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class NameLimit:
    """Names that a key may see and use. `prefixes` is None for a key without a limit."""

    prefixes: tuple[str, ...] | None = None

    @property
    def is_unlimited(self) -> bool:
        """Whether all names are allowed."""
        return self.prefixes is None

    def covers(self, name: str) -> bool:
        """Return whether a name is allowed."""
        return self.prefixes is None or name.startswith(self.prefixes)


UNLIMITED = NameLimit()
