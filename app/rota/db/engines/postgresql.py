"""Engines on PostgreSQL: with timeouts, because the defaults block forever behind a network partition."""

from typing import Any

from sqlalchemy import Engine, create_engine
from sqlalchemy.engine import URL

_OPTIONS = "-c timezone=UTC -c jit=off -c statement_timeout=30000"
# The one writer waits only briefly for locks of other transactions: all writes wait with it.
_WRITER_LIMITS = " -c lock_timeout=200 -c idle_in_transaction_session_timeout="
_READER_LIMITS = " -c lock_timeout=10000 -c idle_in_transaction_session_timeout=10000"
_ARGUMENTS: dict[str, Any] = {
    "connect_timeout": 5,
    "tcp_user_timeout": 5000,
    "keepalives_idle": 5,
    "keepalives_interval": 2,
    "keepalives_count": 3,
    "application_name": "rota",
}


def writing_engine(url: URL, silence: float) -> Engine:
    """Return the engine of the writer; `silence`: after how many seconds idle in a transaction the server ends it."""
    return _postgres(url, f"{_WRITER_LIMITS}{round(silence * 1000)}", pool_size=1)


def reading_engine(url: URL, connections: int) -> Engine:
    """Return the engine of the readers, with so many connections; a transaction is one snapshot."""
    engine = _postgres(url, _READER_LIMITS, pool_size=connections, pool_pre_ping=True)
    return engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)


def migrating_engine(url: URL) -> Engine:
    """Return an engine for migrations, whose statements may take as long as they need."""
    arguments = {**_ARGUMENTS, "options": "-c timezone=UTC -c lock_timeout=10000"}
    return create_engine(url, connect_args=arguments, hide_parameters=True)


def _postgres(url: URL, limits: str, **pool: Any) -> Engine:
    arguments = {**_ARGUMENTS, "options": _OPTIONS + limits}
    return create_engine(
        url, connect_args=arguments, hide_parameters=True, max_overflow=0, pool_timeout=30, **pool
    )
