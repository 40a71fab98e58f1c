"""Tests of the inside of the writer."""
