"""Scopes: what an API key may be used for."""

from enum import StrEnum


class Scope(StrEnum):
    """What an API key may do. `admin` includes all others."""

    TASKS_READ = "tasks:read"
    TASKS_WRITE = "tasks:write"
    RUNS_READ = "runs:read"
    RUNS_WRITE = "runs:write"
    KV_READ = "kv:read"
    KV_WRITE = "kv:write"
    SECRETS = "secrets"
    QUEUES = "queues"
    WORK = "work"
    AUDIT = "audit"
    ADMIN = "admin"
