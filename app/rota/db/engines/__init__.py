"""SQLAlchemy engines: how connections to SQLite and to PostgreSQL are opened."""
