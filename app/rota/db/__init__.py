"""The database: engines, tables, migrations, and the one writer."""
