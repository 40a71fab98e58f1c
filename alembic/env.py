"""Alembic's entry point; `rota.db.migrations` hands it the connection and owns the transaction."""

from alembic import context

from rota.db.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
    transactional_ddl=False,
)
context.run_migrations()
