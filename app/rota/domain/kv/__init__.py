"""The key-value table of a task: entries, operations, schemas, and the changes that a run drafts."""
