"""All SQL. Functions take a connection and never commit; commands are what the writer commits."""
