"""How often something may be done: token buckets, by a clock that is never set."""

from dataclasses import dataclass


@dataclass(slots=True)
class TokenBucket:
    """Lets `rate` through in a second, and as many at once after a while without any; at least one."""

    rate: float
    #: How many may be done at once, and when that was so, in seconds.
    level: float
    at: float

    @classmethod
    def full(cls, rate: float, now: float) -> "TokenBucket":
        """Return a bucket of a rate above 0 that was not used for a while."""
        return cls(rate, max(1.0, rate), now)

    def take(self, now: float) -> float:
        """Take one; return 0, or after how many seconds there is one if there is none."""
        self.level = min(max(1.0, self.rate), self.level + (now - self.at) * self.rate)
        self.at = now
        if self.level >= 1:
            self.level -= 1
            return 0.0
        return (1 - self.level) / self.rate
