"""The table classes, by subject; `db.tables` has the Core tables of all of them."""
