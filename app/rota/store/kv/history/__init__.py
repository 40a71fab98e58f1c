"""The history of a key-value table: earlier versions of entries, and how they are removed."""
