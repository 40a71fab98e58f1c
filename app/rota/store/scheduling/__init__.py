"""SQL that makes due fire times into runs: firing, backfills, and constraints."""
