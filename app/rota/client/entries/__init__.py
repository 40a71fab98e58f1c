"""Entries of key-value tables: values, and writes that are sent together."""
